//! [`node!`](crate::node!): slots as types.

/// Declares a node: its slots, one per role, in the order of the wiring. Makes a marker type and its builder with one
/// method per slot; filling a slot with a subsystem of another role, or with one that sends a message nobody consumes,
/// does not compile.
///
/// Beside the slots the builder has what [`Builder`](crate::node::Builder) has: `restarting`, `mailbox_limits`,
/// `outside`, `tap`, `tap_outside`, `wrap`, `recorded`, `topology`, `build`, and `drain_empty_slots`.
///
/// # Examples
/// ```
/// # pub struct Add(pub u64);
/// # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
/// overseer::node! {
///     /// A node with one slot.
///     pub struct Small, built by SmallBuilder {
///         /// Counts.
///         counter: Counter,
///     }
/// }
/// ```
#[macro_export]
macro_rules! node {
    (
        $(#[$meta:meta])*
        $vis:vis struct $node:ident, built by $builder:ident {
            $( $(#[$slot_meta:meta])* $slot:ident: $role:ty ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $node {}

        $( impl $crate::wiring::HasSlot<$role> for $node {} )*

        #[doc = concat!("Fills the slots of [`", stringify!($node), "`].")]
        $vis struct $builder {
            inner: $crate::node::Builder,
        }

        impl $builder {
            /// All slots empty.
            pub fn new(environment: $crate::Environment) -> Self {
                let roles = [$(<$role as $crate::Role>::NAME),*];
                Self { inner: $crate::node::Builder::new(environment, &roles) }
            }

            $(
                $(#[$slot_meta])*
                pub fn $slot<S>(mut self, subsystem: S) -> Self
                where
                    S: $crate::Subsystem<Role = $role>,
                    S::Sends: $crate::wiring::FitsInto<$node, S>,
                    S::JobSends: $crate::wiring::FitsInto<$node, S>,
                {
                    self.inner.fill(subsystem);
                    self
                }
            )*

            /// Fills every empty slot with [`Drain`]($crate::subsystem::Drain), which takes what comes and does
            /// nothing.
            pub fn drain_empty_slots(mut self) -> Self {
                $( if !self.inner.is_filled::<$role>() {
                    self.inner.fill($crate::subsystem::Drain::<$role>::default());
                } )*
                self
            }

            /// Fills a slot with a subsystem that is made anew when it fails; see
            /// [`Builder::fill_restarting`]($crate::node::Builder::fill_restarting).
            pub fn restarting<S>(
                mut self,
                restarts_max: u32,
                make: impl FnMut() -> S + ::core::marker::Send + 'static,
            ) -> Self
            where
                S: $crate::Subsystem,
                S::Sends: $crate::wiring::FitsInto<$node, S>,
                S::JobSends: $crate::wiring::FitsInto<$node, S>,
                $node: $crate::wiring::HasSlot<S::Role>,
            {
                self.inner.fill_restarting(restarts_max, make);
                self
            }

            /// Fills a slot with a subsystem that is recorded; see
            /// [`Builder::fill_recorded`]($crate::node::Builder::fill_recorded).
            pub fn recorded<S>(mut self, tape: &$crate::replay::Tape, subsystem: S) -> Self
            where
                S: $crate::replay::Recordable,
                S::Sends: $crate::wiring::FitsInto<$node, S>,
                S::JobSends: $crate::wiring::FitsInto<$node, S>,
                $node: $crate::wiring::HasSlot<S::Role>,
            {
                self.inner.fill_recorded(tape, subsystem);
                self
            }

            /// The limits of a role's mailbox; call before its slot is filled.
            pub fn mailbox_limits<R: $crate::Role>(mut self, limits: $crate::mailbox::MailboxLimits) -> Self {
                self.inner.mailbox_limits::<R>(limits);
                self
            }

            /// Names somebody outside who sends.
            pub fn outside<O: $crate::Outside>(mut self) -> Self
            where
                O::Sends: $crate::wiring::FitsInto<$node, O>,
            {
                self.inner.outside::<O>();
                self
            }

            /// Puts a tap on what role `R` sends as `M`.
            pub fn tap<R: $crate::Role, M: $crate::Message>(mut self, tap: impl $crate::port::Tap<M>) -> Self {
                self.inner.tap::<R, M>(tap);
                self
            }

            /// Puts a tap on what somebody outside sends as `M`.
            pub fn tap_outside<O: $crate::Outside, M: $crate::Message>(mut self, tap: impl $crate::port::Tap<M>) -> Self {
                self.inner.tap_outside::<O, M>(tap);
                self
            }

            /// Wraps the slot of role `R`, whatever fills it; see [`Builder::wrap`]($crate::node::Builder::wrap).
            pub fn wrap<R: $crate::Role>(
                mut self,
                screen: impl FnMut(R::Inbox) -> ::core::option::Option<R::Inbox> + ::core::marker::Send + 'static,
            ) -> Self {
                self.inner.wrap::<R>(screen);
                self
            }

            /// The graph of what is filled so far.
            pub fn topology(&self) -> $crate::topology::Topology {
                self.inner.topology()
            }

            /// Connects everything; see [`Builder::build`]($crate::node::Builder::build).
            pub fn build(self) -> ::core::result::Result<$crate::Overseer, $crate::node::BuildError> {
                self.inner.build()
            }
        }
    };
}
