//! When to take which collation: the three ways that the guide weighs against each other (seed 001, Candidate
//! Selection), and the door for others. Pure: a policy sees times and one random number, nothing else.

use std::time::Duration;

/// What a policy decides on: the collations of one relay parent that were not tried yet.
#[derive(Clone, Copy, Debug)]
pub struct Offers<'a> {
    /// Drawn once for the relay parent.
    pub random: u64,
    /// Time since work on the relay parent began.
    pub elapsed: Duration,
    /// When each came, since that beginning; the earliest first.
    pub arrivals: &'a [Duration],
}

/// What a policy wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Take the offer at this position.
    Take(usize),
    /// Ask again at this time since the beginning, or when another comes.
    WaitUntil(Duration),
    /// Ask again when another comes.
    WaitForMore,
}

/// Chooses among collations. It is asked anew whenever one comes, when the time it named is there, and when its choice
/// could not be had or proved invalid; that one is not offered again.
pub trait SelectionPolicy: Send + 'static {
    /// Decides. The same offers must give the same choice. A position that does not exist, or a time that has passed,
    /// counts as [`Choice::WaitForMore`].
    fn choose(&self, offers: &Offers<'_>) -> Choice;
}

/// The first that comes. Fast, but a collator that is always first is always taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstValid;

impl SelectionPolicy for FirstValid {
    fn choose(&self, offers: &Offers<'_>) -> Choice {
        if offers.arrivals.is_empty() { Choice::WaitForMore } else { Choice::Take(0) }
    }
}

/// The first that comes after a random delay D; if none has come by 2D, the last one before. Nobody can time it.
#[derive(Clone, Copy, Debug)]
pub struct RandomDelay {
    /// The mean of D, which is drawn evenly from 0 to twice this.
    pub mean: Duration,
}

impl RandomDelay {
    fn delay(&self, random: u64) -> Duration {
        let widest = u64::try_from(self.mean.as_micros()).unwrap_or(u64::MAX / 2).saturating_mul(2);
        // The whole 64 bits are spread over the range, so that high and low bits count alike.
        Duration::from_micros(((u128::from(random) * (u128::from(widest) + 1)) >> 64) as u64)
    }
}

impl SelectionPolicy for RandomDelay {
    fn choose(&self, offers: &Offers<'_>) -> Choice {
        let delay = self.delay(offers.random);
        if offers.elapsed < delay {
            return Choice::WaitUntil(delay);
        }
        if let Some(first) = offers.arrivals.iter().position(|arrival| *arrival >= delay) {
            return Choice::Take(first);
        }
        let end = delay.saturating_add(delay);
        if offers.elapsed < end {
            return Choice::WaitUntil(end);
        }
        offers.arrivals.len().checked_sub(1).map_or(Choice::WaitForMore, Choice::Take)
    }
}

/// A fixed window D; of the C that came within it, the one at the position I modulo C, for a random I.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The window D.
    pub width: Duration,
}

impl SelectionPolicy for Window {
    fn choose(&self, offers: &Offers<'_>) -> Choice {
        if offers.elapsed < self.width {
            return Choice::WaitUntil(self.width);
        }
        let within = offers.arrivals.iter().filter(|arrival| **arrival < self.width).count() as u64;
        offers.random.checked_rem(within).map_or(Choice::WaitForMore, |position| Choice::Take(position as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn choose(policy: &dyn SelectionPolicy, random: u64, elapsed: u64, arrivals: &[u64]) -> Choice {
        let arrivals: Vec<Duration> = arrivals.iter().copied().map(ms).collect();
        policy.choose(&Offers { random, elapsed: ms(elapsed), arrivals: &arrivals })
    }

    #[test]
    fn first_valid_takes_the_first() {
        assert_eq!(choose(&FirstValid, 9, 0, &[]), Choice::WaitForMore);
        assert_eq!(choose(&FirstValid, 9, 5, &[1, 2]), Choice::Take(0));
    }

    #[test]
    fn random_delay_takes_the_first_after_d_or_the_last_by_twice_d() {
        let policy = RandomDelay { mean: ms(1000) };
        // Half of the range of draws is the mean itself.
        let half = 1 << 63;
        assert_eq!(policy.delay(half), ms(1000));
        assert_eq!((policy.delay(0), policy.delay(u64::MAX)), (ms(0), ms(2000)));
        assert_eq!(choose(&policy, half, 500, &[1, 2]), Choice::WaitUntil(ms(1000)));
        assert_eq!(choose(&policy, half, 1000, &[1, 2]), Choice::WaitUntil(ms(2000)));
        assert_eq!(choose(&policy, half, 1500, &[1, 1200, 1300]), Choice::Take(1));
        assert_eq!(choose(&policy, half, 2000, &[1, 2]), Choice::Take(1));
        assert_eq!(choose(&policy, half, 2000, &[]), Choice::WaitForMore);
        assert_eq!(choose(&policy, half, 2500, &[2500]), Choice::Take(0));
        assert_eq!(RandomDelay { mean: Duration::MAX }.delay(0), ms(0));
    }

    #[test]
    fn window_takes_one_of_those_within_by_chance() {
        let policy = Window { width: ms(100) };
        assert_eq!(choose(&policy, 5, 99, &[1, 2, 3]), Choice::WaitUntil(ms(100)));
        assert_eq!(choose(&policy, 5, 100, &[1, 2, 3]), Choice::Take(2));
        assert_eq!(choose(&policy, 5, 150, &[1, 2, 140]), Choice::Take(1), "what came late does not count");
        assert_eq!(choose(&policy, 5, 150, &[140]), Choice::WaitForMore);
    }
}
