//! Who is slow, and who waits for whom: read from outside, nobody is stopped for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use deterministic::Environment;

use crate::node::{Handle, lock};
use crate::wiring::Origin;

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
    /// A place in a full queue.
    Place,
    /// An answer.
    Answer,
}

/// Somebody who waits for longer than [`LONG_WAIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// For how long at least: a lower bound.
    pub time: Duration,
}

/// Whether a node keeps up, and who does not: what an operator's readiness probe asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Subsystems more than [`LAG_MAX`] entries behind their signal log, with how many.
    pub lagging: Vec<(&'static str, u64)>,
    /// Long waits, each once, in the order of the wiring.
    pub long_waits: Vec<LongWait>,
    /// The same waits as chains, a line each: `a waits 6.0 s with Put at b, which waits 6.0 s for the answer to Query
    /// of c`.
    pub chains: Vec<String>,
    /// The same chains without times, so that one that lasts keeps its name.
    pub chain_names: Vec<String>,
}

impl Readiness {
    /// Whether nobody lags and nobody waits for long.
    pub fn is_ready(&self) -> bool {
        self.lagging.is_empty() && self.long_waits.is_empty()
    }
}

/// What was said before, so that it is said once.
#[derive(Default)]
pub(crate) struct Health {
    told: Mutex<BTreeSet<String>>,
}

impl Handle {
    /// Whether the node keeps up, and if not, who waits for whom. The age of a question is a lower bound that is
    /// precise only as far as somebody calls this every second or so; [`watch`](Self::watch) does.
    pub fn readiness(&self) -> Readiness {
        let lagging = self.shared.readers.iter().map(|reader| (reader.subsystem, (reader.lag)()));
        let lagging = lagging.filter(|(_, lag)| *lag > LAG_MAX).collect();
        let mut long_waits = Vec::new();
        let edges = lock(&self.shared.switchboard).edges.clone();
        for edge in edges {
            let (place, answer) = edge.waits();
            for (nanos, waits_for) in [(place, WaitsFor::Place), (answer, WaitsFor::Answer)] {
                let Some(time) = nanos.map(Duration::from_nanos).filter(|time| *time >= LONG_WAIT) else { continue };
                let (message, to) = (edge.declared.message, edge.declared.to);
                long_waits.push(LongWait { from: edge.from, origin: edge.origin, waits_for, message, to, time });
            }
        }
        let (chains, chain_names) = (chains(&long_waits, true), chains(&long_waits, false));
        Readiness { lagging, long_waits, chains, chain_names }
    }

    /// Looks every [`LOOK_EVERY`] and logs each new chain of waits and each subsystem that begins to lag, once, until
    /// the node is told to stop. Run it as a task beside the node; without it the same is seen only by who calls
    /// [`readiness`](Self::readiness).
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

/// One line for each long wait that nobody waits behind, and for each circle.
fn chains(waits: &[LongWait], with_times: bool) -> Vec<String> {
    let waited_for: BTreeSet<&str> = waits.iter().map(|wait| wait.to).collect();
    let mut heads: Vec<usize> = (0..waits.len()).filter(|index| !waited_for.contains(waits[*index].from)).collect();
    let mut told = BTreeSet::new();
    let mut lines = Vec::new();
    // What no head reaches stands in a circle; any of it may begin.
    heads.extend(0..waits.len());
    let outsiders = waits.iter().filter(|wait| !waited_for.contains(wait.from)).count();
    for (turn, head) in heads.into_iter().enumerate() {
        if turn >= outsiders && told.contains(&head) {
            continue;
        }
        lines.push(chain(waits, head, &mut told, with_times));
    }
    lines
}

fn chain(waits: &[LongWait], head: usize, told: &mut BTreeSet<usize>, with_times: bool) -> String {
    let mut line = waits[head].from.to_owned();
    let mut seen = BTreeSet::new();
    let mut at = Some(head);
    while let Some(index) = at {
        told.insert(index);
        let wait = &waits[index];
        let time = if with_times { format!(" {:.1} s", wait.time.as_secs_f64()) } else { String::new() };
        let _ = match wait.waits_for {
            WaitsFor::Place => write!(line, " waits{time} with {} at {}", wait.message, wait.to),
            WaitsFor::Answer => write!(line, " waits{time} for the answer to {} of {}", wait.message, wait.to),
        };
        seen.insert(index);
        at = waits.iter().position(|next| next.from == wait.to);
        if at.is_some_and(|next| seen.contains(&next)) {
            line.push_str(": a circle");
            break;
        }
        if at.is_some() {
            line.push_str(", which");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(from: &'static str, waits_for: WaitsFor, message: &'static str, to: &'static str) -> LongWait {
        LongWait { from, origin: Origin::Loop, waits_for, message, to, time: Duration::from_secs(6) }
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
}
