//! How much of the machine others took while something was measured.

/// The share of a core that other processes may take in a round that counts.
pub(crate) const OTHERS_MAX_CORES: f64 = 0.15;
/// The kernel counts in ticks of a hundredth of a second: a shorter window says nothing.
const WINDOW_MIN_TICKS: f64 = 15.0;

/// Ticks of the whole machine and of this process since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    busy: u64,
    total: u64,
    cores: u64,
    own: u64,
}

impl Ticks {
    /// `None` where the kernel does not tell.
    pub(crate) fn now() -> Option<Self> {
        let machine = std::fs::read_to_string("/proc/stat").ok()?;
        let process = std::fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&machine, &process)
    }

    /// From the contents of `/proc/stat` and `/proc/self/stat`.
    fn parse(machine: &str, process: &str) -> Option<Self> {
        let mut lines = machine.lines();
        let all: Vec<u64> =
            lines.next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; what follows is counted in `user` already.
        let [user, nice, system, idle, waiting, irq, soft_irq, steal] = *all.first_chunk()?;
        let busy = user + nice + system + irq + soft_irq + steal;
        let cores = lines.take_while(|line| line.starts_with("cpu")).count() as u64;
        // The name, in brackets, may hold anything; the third field is the first after it.
        let fields: Vec<&str> = process.rsplit_once(')')?.1.split_whitespace().collect();
        let own = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Self { busy, total: busy + idle + waiting, cores: cores.max(1), own })
    }

    /// Cores that others kept busy since `earlier`; `None` if that is too short ago to tell.
    pub(crate) fn others_since(self, earlier: Self) -> Option<f64> {
        let elapsed = self.total.saturating_sub(earlier.total) as f64 / self.cores as f64;
        if elapsed < WINDOW_MIN_TICKS {
            return None;
        }
        let busy = self.busy.saturating_sub(earlier.busy);
        Some(busy.saturating_sub(self.own.saturating_sub(earlier.own)) as f64 / elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: &str = "7 (a name) with) brackets) R 1 7 7 0 -1 4194304 100 0 0 0 30 20 5 5 20 0 4 0 1000";

    fn machine(user: u64, idle: u64) -> String {
        format!("cpu  {user} 0 10 {idle} 5 1 2 3 0 0\ncpu0 1 0 0 0\ncpu1 1 0 0 0\nintr 5 0\n")
    }

    #[test]
    fn reads_what_the_kernel_writes() {
        let ticks = Ticks::parse(&machine(100, 400), PROCESS).unwrap();
        assert_eq!(ticks, Ticks { busy: 116, total: 521, cores: 2, own: 50 });
        assert_eq!(Ticks::parse("cpu  1 2 3\n", PROCESS), None);
        assert_eq!(Ticks::parse(&machine(1, 1), "no brackets"), None);
    }

    #[test]
    fn others_are_what_we_did_not_use() {
        let earlier = Ticks { busy: 100, total: 1000, cores: 2, own: 50 };
        let later = Ticks { busy: 200, total: 1200, cores: 2, own: 130 };
        assert_eq!(later.others_since(earlier), Some(0.2));
        let soon = Ticks { total: 1020, ..earlier };
        assert_eq!(soon.others_since(earlier), None);
        let alone = Ticks { busy: 180, total: 1200, cores: 2, own: 150 };
        assert_eq!(alone.others_since(earlier), Some(0.0), "ticks are rounded: never less than nothing");
    }
}
