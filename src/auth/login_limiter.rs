//! [`LoginLimiter`]: the remaining failed logins of an origin. Pure: the time is an argument.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::LoginOrigin;

/// The remaining failed logins of each origin: a bucket of `failures_max`, refilled by one every
/// `interval`. (The "generic cell rate algorithm": an origin is stored as one time, at which its
/// bucket is full again.)
#[derive(Debug)]
pub(super) struct LoginLimiter {
    failures_max: u32,
    interval: Duration,
    /// Maximum number of origins; beyond it, the origin whose bucket fills first is dropped.
    origins_max: usize,
    forgiven: HashMap<LoginOrigin, Duration>,
    order: BTreeSet<(Duration, LoginOrigin)>,
}

impl LoginLimiter {
    pub(super) fn new(failures_max: u32, interval: Duration, origins_max: usize) -> Self {
        let (forgiven, order) = (HashMap::new(), BTreeSet::new());
        Self { failures_max, interval, origins_max, forgiven, order }
    }

    /// Returns the time until `origin` may try again; `None` if it may now.
    pub(super) fn blocked(&self, now: Duration, origin: LoginOrigin) -> Option<Duration> {
        let forgiven = self.forgiven.get(&origin)?;
        let spent = forgiven.saturating_sub(now);
        let room = self.interval.saturating_mul(self.failures_max.saturating_sub(1));
        spent.checked_sub(room).filter(|wait| !wait.is_zero())
    }

    /// Records a failed login. Returns true if it was the last one that the origin had.
    pub(super) fn fail(&mut self, now: Duration, origin: LoginOrigin) -> bool {
        while let Some((at, oldest)) = self.order.first().copied() {
            let full = self.forgiven.len() >= self.origins_max && oldest != origin;
            if at > now && !full {
                break;
            }
            self.order.pop_first();
            self.forgiven.remove(&oldest);
        }
        let before = self.forgiven.remove(&origin);
        if let Some(before) = before {
            self.order.remove(&(before, origin));
        }
        let at = before.unwrap_or(now).max(now).saturating_add(self.interval);
        self.forgiven.insert(origin, at);
        self.order.insert((at, origin));
        self.blocked(now, origin).is_some()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.forgiven.len(), self.order.len());
        self.forgiven.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const ONE: LoginOrigin = LoginOrigin::Addr(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    const OTHER: LoginOrigin = LoginOrigin::Addr(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));

    fn addr(text: &str) -> LoginOrigin {
        LoginOrigin::addr(text.parse().unwrap())
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a5_an_address_that_fails_too_often_waits() {
        let mut login_limiter = LoginLimiter::new(3, s(10), 100);
        assert!(!login_limiter.fail(s(0), ONE) && !login_limiter.fail(s(0), ONE));
        assert_eq!(login_limiter.blocked(s(0), ONE), None);
        assert!(login_limiter.fail(s(0), ONE), "the last failure");
        assert_eq!(login_limiter.blocked(s(0), ONE), Some(s(10)));
        assert_eq!(login_limiter.blocked(s(4), ONE), Some(s(6)));
        assert_eq!(login_limiter.blocked(s(0), OTHER), None, "others are unaffected");
        assert_eq!(login_limiter.blocked(s(10), ONE), None);
        assert!(login_limiter.fail(s(10), ONE), "only one was refilled");
        assert_eq!(login_limiter.blocked(s(30), ONE), None);
        assert_eq!(login_limiter.blocked(s(1_000), ONE), None);
        assert!(
            !login_limiter.fail(s(1_000), ONE) && !login_limiter.fail(s(1_000), ONE),
            "the bucket is full again"
        );
    }

    #[test]
    fn a5_over_any_time_only_so_many_are_tried() {
        let mut login_limiter = LoginLimiter::new(5, s(10), 100);
        let mut tried = 0;
        for tenth in 0..36_000 {
            let now = Duration::from_millis(tenth * 100);
            if login_limiter.blocked(now, ONE).is_none() {
                tried += 1;
                login_limiter.fail(now, ONE);
            }
        }
        assert!((360..=366).contains(&tried), "{tried} of an hour");
    }

    #[test]
    fn a5_the_table_is_bounded_and_forgets() {
        let mut login_limiter = LoginLimiter::new(1, s(10), 3);
        for last in 0..200_u8 {
            login_limiter
                .fail(s(u64::from(last) / 100), LoginOrigin::addr(IpAddr::from([10, 0, 1, last])));
            assert!(login_limiter.len() <= 3);
        }
        assert!(
            login_limiter.blocked(s(2), LoginOrigin::addr(IpAddr::from([10, 0, 1, 199]))).is_some(),
            "the last stays"
        );
        login_limiter.fail(s(100), ONE);
        assert_eq!(login_limiter.len(), 1);
        let mut none = LoginLimiter::new(0, s(10), 0);
        assert!(none.fail(s(0), ONE) && none.len() == 1);
    }

    #[test]
    fn a5_all_of_a_64_is_one_address() {
        let mut login_limiter = LoginLimiter::new(1, s(10), 3);
        login_limiter.fail(s(0), addr("2001:db8::1"));
        assert!(login_limiter.blocked(s(0), addr("2001:db8::ffff:1:1")).is_some());
        assert!(login_limiter.blocked(s(0), addr("2001:db8:0:1::1")).is_none());
        login_limiter.fail(s(0), addr("::ffff:10.0.0.1"));
        assert!(login_limiter.blocked(s(0), ONE).is_some());
    }
}
