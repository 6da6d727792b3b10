//! Who is slow, and who waits for whom: read from outside, nobody is stopped for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use deterministic::Environment;
use overseer_core::sync::lock;

use crate::node::{Handle, ReaderRecord};
use crate::wiring::{Origin, SendKind};

/// A wait at least as long as this is named.
pub const LONG_WAIT: Duration = Duration::from_secs(5);
/// A subsystem that is more than this many entries behind its signal log is named. It loses nothing before
/// [`SIGNAL_LOG_MAX`](crate::signal::SIGNAL_LOG_MAX).
pub const LAG_MAX: u64 = 16;
/// How often [`Handle::watch`] looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// A place in a full queue, which the consumer's loop gives back.
    Place,
    /// A place for a cast that is kept meanwhile: its sender goes on.
    OutboxPlace,
    /// An answer, which the consumer's loop or one of its jobs owes.
    Answer,
}

/// Somebody who waits for longer than [`LONG_WAIT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongWait {
    /// The sender.
    pub from: &'static str,
    /// Which part of it waits.
    pub origin: Origin,
    /// What for.
    pub waits_for: WaitsFor,
    /// The message it sent or asked.
    pub message: &'static str,
    /// Whose queue is full, or who owes the answer.
    pub to: &'static str,
    /// Of a wait for a place: all who hold one there without a message ([`Place`](crate::port::Place)), each once, in
    /// the order of their names. No more than the wiring has senders to that consumer.
    pub held_by: Vec<(&'static str, Origin)>,
    /// For how long at least: a lower bound.
    pub time: Duration,
}

/// Whether a node keeps up, and who does not: what an operator's readiness probe asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Subsystems more than [`LAG_MAX`] entries behind their signal log, with how many.
    pub lagging: Vec<(&'static str, u64)>,
    /// Subsystems that have messages and have come back for none since so long, at least [`LONG_WAIT`], without waiting
    /// for anybody that is known.
    pub stalled: Vec<(&'static str, Duration)>,
    /// Long waits, each once, in the order of the wiring.
    pub long_waits: Vec<LongWait>,
    /// The same waits as chains, a line each: `a waits 6.0 s with Put at b, which waits 6.0 s for the answer to Query
    /// of c`. A subsystem's loop and its jobs are two who may wait; where a chain forks, each further branch has a line
    /// of its own.
    pub chains: Vec<String>,
    /// The same chains without times, so that one that lasts keeps its name.
    pub chain_names: Vec<String>,
}

impl Readiness {
    /// Whether nobody lags, stands still or waits for long.
    pub fn is_ready(&self) -> bool {
        self.lagging.is_empty() && self.stalled.is_empty() && self.long_waits.is_empty()
    }
}

/// What was said before, so that it is said once.
#[derive(Default)]
pub(crate) struct Health {
    told: Mutex<BTreeSet<String>>,
    /// Subsystems that had something to do when somebody looked: how far they were, and since when they are there.
    seen: Mutex<BTreeMap<&'static str, (u64, u64)>>,
}

impl Health {
    /// Since when a loop has messages and came back for none: a lower bound, as precise as somebody looks often.
    fn stands_still(&self, reader: &ReaderRecord) -> Option<Duration> {
        let ((pending, delivered), now) = (reader.gauge.progress(), reader.gauge.meter().now());
        let mut seen = lock(&self.seen);
        if pending == 0 {
            seen.remove(reader.subsystem);
            return None;
        }
        let known = seen.entry(reader.subsystem).or_insert((delivered, now));
        if known.0 != delivered {
            *known = (delivered, now);
        }
        Some(Duration::from_nanos(now.saturating_sub(known.1)))
    }
}

impl Handle {
    /// Whether the node keeps up, and if not, who waits for whom. The age of a question, and since when somebody stands
    /// still, are lower bounds that are precise only as far as somebody calls this every second or so;
    /// [`watch`](Self::watch) does.
    pub fn readiness(&self) -> Readiness {
        let lagging = self.shared.readers.iter().map(|reader| (reader.subsystem, (reader.lag)()));
        let lagging = lagging.filter(|(_, lag)| *lag > LAG_MAX).collect();
        let mut long_waits = Vec::new();
        let mut holders = BTreeMap::<_, BTreeSet<_>>::new();
        let edges = lock(&self.shared.switchboard).edges.clone();
        for edge in edges {
            let (place, answer, holds) = edge.waits();
            let (from, origin, message, to) = (edge.from, edge.origin, edge.declared.message, edge.declared.to);
            if holds {
                holders.entry(to).or_default().insert((from, origin));
            }
            let for_place = if edge.declared.kind == SendKind::Cast { WaitsFor::OutboxPlace } else { WaitsFor::Place };
            for (nanos, waits_for) in [(place, for_place), (answer, WaitsFor::Answer)] {
                let Some(time) = nanos.map(Duration::from_nanos).filter(|time| *time >= LONG_WAIT) else { continue };
                long_waits.push(LongWait { from, origin, waits_for, message, to, held_by: Vec::new(), time });
            }
        }
        for wait in long_waits.iter_mut().filter(|wait| wait.waits_for != WaitsFor::Answer) {
            wait.held_by = holders.get(wait.to).into_iter().flatten().copied().collect();
        }
        let (chains, chain_names) = (chains(&long_waits, true), chains(&long_waits, false));
        let stalled = self.shared.readers.iter().filter_map(|reader| {
            let waits = |wait: &LongWait| wait.keeps_loop_of(reader.subsystem);
            let time = self.shared.health.stands_still(reader).filter(|time| *time >= LONG_WAIT)?;
            (!long_waits.iter().any(waits)).then_some((reader.subsystem, time))
        });
        let stalled = stalled.collect();
        Readiness { lagging, stalled, long_waits, chains, chain_names }
    }

    /// Looks every [`LOOK_EVERY`] and logs each new chain of waits and each subsystem that begins to lag, once, until
    /// the node begins to end. Run it as a task beside the node; without it the same is seen only by who calls
    /// [`readiness`](Self::readiness). A node does not do this by itself, because under virtual time something that
    /// looks for ever would hide that nothing else is left to happen.
    ///
    /// # Cancel safety
    /// It may be dropped at any time: it only looks.
    pub async fn watch(&self, environment: &Environment) {
        let mut stop = self.shared.stop.subscribe();
        loop {
            let sleep = environment.clock.sleep(LOOK_EVERY);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep => {}
            }
            self.tell(&self.readiness());
        }
    }

    fn tell(&self, readiness: &Readiness) {
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        for (subsystem, lag) in &readiness.lagging {
            lines.insert((*subsystem).to_owned(), format!("{subsystem} is {lag} signals behind"));
        }
        for (subsystem, time) in &readiness.stalled {
            let line = format!("{subsystem} has taken no message for {:.1} s", time.as_secs_f64());
            lines.insert(format!("{subsystem} stands still"), line);
        }
        lines.extend(readiness.chain_names.iter().cloned().zip(readiness.chains.iter().cloned()));
        let mut told = lock(&self.shared.health.told);
        told.retain(|key| lines.contains_key(key));
        for (key, line) in lines {
            if told.insert(key) {
                tracing::warn!("{line}");
            }
        }
    }
}

impl LongWait {
    /// Whether this wait lasts because of that one: it stands between who waits here and what is waited for.
    fn is_behind(&self, other: &Self) -> bool {
        let may_owe = match self.waits_for {
            WaitsFor::Place | WaitsFor::OutboxPlace => other.origin == Origin::Loop,
            WaitsFor::Answer => true,
        };
        let owes = may_owe && other.from == self.to || self.held_by.contains(&(other.from, other.origin));
        owes && other.waits_for != WaitsFor::OutboxPlace
    }

    /// Whether the loop of a subsystem stands in this wait.
    fn keeps_loop_of(&self, subsystem: &str) -> bool {
        self.from == subsystem && self.origin == Origin::Loop && self.waits_for != WaitsFor::OutboxPlace
    }

    /// The wait in words, after who waits.
    fn write(&self, line: &mut String, with_times: bool) {
        let (message, to) = (self.message, self.to);
        let verb = if self.origin == Origin::Jobs { "wait" } else { "waits" };
        let time = if with_times { format!(" {:.1} s", self.time.as_secs_f64()) } else { String::new() };
        let _ = match self.waits_for {
            WaitsFor::Place => write!(line, "{verb}{time} with {message} at {to}"),
            WaitsFor::OutboxPlace => write!(line, "keeps {message} for {to} in its outbox{time}"),
            WaitsFor::Answer => write!(line, "{verb}{time} for the answer to {message} of {to}"),
        };
        for (index, (from, origin)) in self.held_by.iter().enumerate() {
            let before = if index == 0 { ", where" } else { " and" };
            let verb = if *origin == Origin::Jobs { "hold" } else { "holds" };
            let _ = write!(line, "{before} {} {verb} a place", who(from, *origin));
        }
    }
}

/// Who waits, in words.
fn who(from: &str, origin: Origin) -> String {
    if origin == Origin::Jobs { format!("jobs of {from}") } else { from.to_owned() }
}

/// One line for each long wait that nobody waits behind, for each further branch, and for each circle.
fn chains(waits: &[LongWait], with_times: bool) -> Vec<String> {
    let is_head = |index: &usize| !waits.iter().any(|other| other.is_behind(&waits[*index]));
    let heads: Vec<usize> = (0..waits.len()).filter(is_head).collect();
    let mut told = BTreeSet::new();
    let mut lines = Vec::new();
    // What no head reaches stands in a circle; any of it may begin.
    for head in heads.into_iter().chain(0..waits.len()) {
        let mut begin = vec![head];
        while let Some(head) = begin.pop() {
            if !told.contains(&head) {
                lines.push(chain(waits, head, &mut told, &mut begin, with_times));
            }
        }
    }
    lines
}

/// The chain from a wait on, and where further branches begin.
fn chain(
    waits: &[LongWait],
    head: usize,
    told: &mut BTreeSet<usize>,
    branches: &mut Vec<usize>,
    with_times: bool,
) -> String {
    let mut line = who(waits[head].from, waits[head].origin) + " ";
    let mut seen = BTreeSet::new();
    let mut index = head;
    loop {
        told.insert(index);
        seen.insert(index);
        waits[index].write(&mut line, with_times);
        let behind: Vec<usize> = (0..waits.len()).filter(|next| waits[index].is_behind(&waits[*next])).collect();
        if behind.iter().any(|next| seen.contains(next)) {
            line.push_str(": a circle");
            branches.extend(behind.into_iter().filter(|next| !seen.contains(next)).rev());
            return line;
        }
        let Some((next, others)) = behind.split_first() else { return line };
        branches.extend(others.iter().rev());
        let next_who = (waits[*next].from, waits[*next].origin);
        line.push_str(&match next_who.1 {
            _ if waits[index].held_by.last() == Some(&next_who) => " and ".to_owned(),
            _ if waits[index].held_by.contains(&next_who) => format!("; {} ", who(next_who.0, next_who.1)),
            Origin::Jobs => ", whose jobs ".to_owned(),
            _ => ", which ".to_owned(),
        });
        index = *next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(from: &'static str, waits_for: WaitsFor, message: &'static str, to: &'static str) -> LongWait {
        LongWait {
            from,
            origin: Origin::Loop,
            waits_for,
            message,
            to,
            held_by: Vec::new(),
            time: Duration::from_secs(6),
        }
    }

    #[test]
    fn a_chain_is_told_from_its_beginning() {
        let waits = [wait("b", WaitsFor::Answer, "Query", "c"), wait("a", WaitsFor::Place, "Put", "b")];
        assert_eq!(
            chains(&waits, true),
            ["a waits 6.0 s with Put at b, which waits 6.0 s for the answer to Query of c"]
        );
        assert_eq!(chains(&waits, false), ["a waits with Put at b, which waits for the answer to Query of c"]);
    }

    #[test]
    fn a_circle_is_told_once() {
        let waits = [wait("a", WaitsFor::Answer, "P", "b"), wait("b", WaitsFor::Answer, "Q", "a")];
        assert_eq!(
            chains(&waits, true),
            ["a waits 6.0 s for the answer to P of b, which waits 6.0 s for the answer to Q of a: a circle"]
        );
    }

    #[test]
    fn loop_and_jobs_are_two_who_wait() {
        let jobs = |wait| LongWait { origin: Origin::Jobs, ..wait };
        // The loop of b gives back places; that its jobs wait is no reason for a to wait.
        let waits = [wait("a", WaitsFor::Place, "Put", "b"), jobs(wait("b", WaitsFor::Answer, "Query", "c"))];
        assert_eq!(chains(&waits, false), ["a waits with Put at b", "jobs of b wait for the answer to Query of c"]);
        // An answer may be owed by a job.
        let waits = [wait("a", WaitsFor::Answer, "Get", "b"), jobs(wait("b", WaitsFor::Answer, "Query", "c"))];
        assert_eq!(
            chains(&waits, false),
            ["a waits for the answer to Get of b, whose jobs wait for the answer to Query of c"]
        );
    }

    #[test]
    fn every_branch_is_told_and_a_tail_that_is_shared_once_more_for_each_head() {
        let waits = [
            wait("a", WaitsFor::Answer, "Get", "b"),
            wait("b", WaitsFor::Place, "Put", "c"),
            wait("b", WaitsFor::Answer, "Query", "d"),
            wait("d", WaitsFor::Answer, "Read", "e"),
        ];
        assert_eq!(
            chains(&waits, false),
            [
                "a waits for the answer to Get of b, which waits with Put at c",
                "b waits for the answer to Query of d, which waits for the answer to Read of e",
            ]
        );
        let waits = [
            wait("a", WaitsFor::Place, "Put", "c"),
            wait("b", WaitsFor::Place, "Put", "c"),
            wait("c", WaitsFor::Answer, "Read", "d"),
        ];
        assert_eq!(
            chains(&waits, false),
            [
                "a waits with Put at c, which waits for the answer to Read of d",
                "b waits with Put at c, which waits for the answer to Read of d",
            ]
        );
    }

    #[test]
    fn who_holds_a_place_keeps_others_waiting() {
        let held = |by, wait| LongWait { held_by: vec![(by, Origin::Jobs)], origin: Origin::Jobs, ..wait };
        let waits =
            [held("y", wait("x", WaitsFor::Place, "Put", "b")), held("x", wait("y", WaitsFor::Place, "Set", "a"))];
        assert_eq!(
            chains(&waits, false),
            ["jobs of x wait with Put at b, where jobs of y hold a place and wait with Set at a, where jobs of x \
                 hold a place: a circle"]
        );
        assert_eq!(chains(&waits[..1], false), ["jobs of x wait with Put at b, where jobs of y hold a place"]);
        // All who hold one are told, and the circle may go through any of them.
        for others in [vec!["a", "y"], vec!["y", "z"]] {
            let mut waits = waits.clone();
            waits[0].held_by = others.into_iter().map(|by| (by, Origin::Jobs)).collect();
            let [chain] = &chains(&waits, false)[..] else { panic!("one chain: {:?}", chains(&waits, false)) };
            assert!(chain.ends_with("jobs of x hold a place: a circle"), "{chain}");
        }
        let mut waits = waits;
        waits[0].held_by.push(("z", Origin::Loop));
        assert_eq!(
            chains(&waits, false),
            [
                "jobs of x wait with Put at b, where jobs of y hold a place and z holds a place; jobs of y wait with Set \
                 at a, where jobs of x hold a place: a circle"
            ]
        );
    }

    #[test]
    fn who_keeps_a_message_in_its_outbox_goes_on() {
        let waits = [wait("a", WaitsFor::Answer, "Get", "b"), wait("b", WaitsFor::OutboxPlace, "Tell", "c")];
        assert_eq!(chains(&waits, false), ["a waits for the answer to Get of b", "b keeps Tell for c in its outbox"]);
    }

    #[test]
    fn a_circle_behind_a_head_is_told_with_it_and_what_leaves_it_too() {
        let waits = [
            wait("a", WaitsFor::Answer, "P", "b"),
            wait("b", WaitsFor::Answer, "Q", "c"),
            wait("c", WaitsFor::Answer, "R", "b"),
            wait("c", WaitsFor::Answer, "S", "d"),
        ];
        assert_eq!(
            chains(&waits, false),
            [
                "a waits for the answer to P of b, which waits for the answer to Q of c, which waits for the answer to \
                 R of b: a circle",
                "c waits for the answer to S of d",
            ]
        );
    }
}
