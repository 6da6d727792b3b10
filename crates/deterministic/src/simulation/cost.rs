//! What computing costs in virtual time.

use std::{collections::BTreeMap, time::Duration};

use crate::ComputeKind;

/// What one kind of work costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Per piece of work, in nanoseconds.
    pub fixed_ns: u64,
    /// Per 1,024 bytes of input, in nanoseconds.
    pub per_kib_ns: u64,
}

impl Cost {
    /// The virtual time that a piece of work on `bytes` takes.
    pub fn of(self, bytes: usize) -> Duration {
        let per_bytes = u128::from(self.per_kib_ns) * bytes as u128 / 1_024;
        Duration::from_nanos(self.fixed_ns.saturating_add(u64::try_from(per_bytes).unwrap_or(u64::MAX)))
    }
}

/// The cost of each kind of work.
///
/// The default is of the order of one ordinary core: what matters is that it is the same everywhere, and that
/// order and length of things are plausible, not that they are exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostTable(BTreeMap<ComputeKind, Cost>);

impl CostTable {
    /// No work takes any time.
    pub fn free() -> Self {
        Self(BTreeMap::new())
    }

    /// The same table with another cost for `kind`.
    #[must_use]
    pub fn with(mut self, kind: ComputeKind, cost: Cost) -> Self {
        self.0.insert(kind, cost);
        self
    }

    /// The cost of `kind`; nothing if the table does not name it.
    pub fn cost(&self, kind: ComputeKind) -> Cost {
        self.0.get(&kind).copied().unwrap_or(Cost { fixed_ns: 0, per_kib_ns: 0 })
    }
}

impl Default for CostTable {
    fn default() -> Self {
        let table = ComputeKind::ALL.map(|kind| {
            let (fixed_ns, per_kib_ns) = match kind {
                ComputeKind::ErasureEncode | ComputeKind::ErasureRecover => (50_000, 4_000),
                ComputeKind::Hash => (1_000, 1_000),
                // A batch: its bytes are those of the signatures and what they sign.
                ComputeKind::VerifySignatures => (50_000, 200_000),
                ComputeKind::Sign => (50_000, 1_000),
                ComputeKind::Compile => (20_000_000, 500_000),
                ComputeKind::Execute => (2_000_000, 5_000),
                ComputeKind::Compress => (10_000, 2_000),
                ComputeKind::StateTransition => (500_000, 10_000),
                ComputeKind::Disk => (500_000, 1_000),
            };
            (kind, Cost { fixed_ns, per_kib_ns })
        });
        Self(BTreeMap::from(table))
    }
}
