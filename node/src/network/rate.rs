//! A token bucket.

use std::time::{Duration, Instant};

/// Lets `per_second` units pass on average and `burst` at once. Time is an argument.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    per_second: f64,
    burst: f64,
    tokens: f64,
    last: Instant,
}

impl Rate {
    pub(super) fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        Self { per_second, burst, tokens: burst, last: now }
    }

    /// Takes `units` in any case and says how long to wait before the next.
    pub(super) fn take(&mut self, units: f64, now: Instant) -> Duration {
        self.refill(now);
        self.tokens -= units;
        Duration::from_secs_f64((-self.tokens / self.per_second).max(0.0))
    }

    /// Takes one unit if there is one.
    pub(super) fn try_take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let passes = self.tokens >= 1.0;
        if passes {
            self.tokens -= 1.0;
        }
        passes
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.last).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut rate = Rate::new(10.0, 3.0, start);
        assert!((0..3).all(|_| rate.try_take(start)));
        assert!(!rate.try_take(start));
        assert!(rate.try_take(start + Duration::from_millis(150)));
        assert!(!rate.try_take(start + Duration::from_millis(150)));
        let much_later = start + Duration::from_secs(60);
        assert_eq!(rate.take(3.0, much_later), Duration::ZERO, "never more than the burst");
        assert_eq!(rate.take(2.0, much_later), Duration::from_millis(200));
    }
}
