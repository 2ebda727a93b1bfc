//! The delay before the next run of a job: a pure decision.

use std::time::Duration;

use crate::config::QueueConfig;
use crate::model::Backoff;

/// Returns the backoff for topics without one of their own.
pub(super) fn default_backoff(config: &QueueConfig) -> Backoff {
    Backoff::Exponential {
        base: config.backoff_base,
        cap: config.backoff_cap,
        floor: config.backoff_floor,
    }
}

/// Returns the delay after a job's `failures`th failure (from 1); `random` is uniform over all numbers.
///
/// Source: AWS Architecture Blog, *Exponential Backoff And Jitter*, full jitter, with a floor.
pub(super) fn pause(backoff: &Backoff, failures: u32, random: u64) -> Duration {
    match backoff {
        Backoff::Constant(pause) => *pause,
        Backoff::Exponential { base, cap, floor } => {
            let doublings = failures.saturating_sub(1).min(63);
            let longest = base.as_nanos().saturating_mul(1 << doublings).min(cap.as_nanos());
            let floor = floor.as_nanos().min(cap.as_nanos());
            let span = longest.saturating_sub(floor);
            // A fraction of the span, in units of 2^-64.
            let drawn = (span >> 32).saturating_mul(u128::from(random)) >> 32;
            let rest = ((span & 0xffff_ffff) * u128::from(random)) >> 64;
            let nanos = floor.saturating_add(drawn).saturating_add(rest);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        }
        Backoff::List(pauses) => {
            let place = failures.saturating_sub(1) as usize;
            pauses.get(place).or(pauses.last()).copied().unwrap_or_default()
        }
    }
}

/// Random numbers for jitter, from a seed. Source: SplitMix64 (Steele, Lea, Flood, *Fast Splittable
/// Pseudorandom Number Generators*, 2014).
#[derive(Debug, Clone)]
pub(super) struct JitterSource(u64);

impl JitterSource {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exponential(base: u64, cap: u64, floor: u64) -> Backoff {
        let ms = Duration::from_millis;
        Backoff::Exponential { base: ms(base), cap: ms(cap), floor: ms(floor) }
    }

    proptest! {
        #[test]
        fn j6_a_pause_is_between_floor_and_the_doubled_base(
            base in 0_u64..100_000, cap in 0_u64..10_000_000, floor in 0_u64..1_000,
            failures in 1_u32..100, random: u64,
        ) {
            let longest = u128::from(base) << failures.saturating_sub(1).min(63);
            let longest = longest.min(u128::from(cap));
            let pause = pause(&exponential(base, cap, floor), failures, random).as_nanos();
            let floor = u128::from(floor.min(cap)) * 1_000_000;
            prop_assert!(pause >= floor);
            prop_assert!(pause <= (longest * 1_000_000).max(floor));
        }
    }

    #[test]
    fn j6_jitter_fills_the_whole_span() {
        let backoff = exponential(1_000, 600_000, 100);
        let of = |random| pause(&backoff, 3, random).as_millis();
        assert_eq!((of(0), of(u64::MAX / 2 + 1)), (100, 2_050));
        assert_eq!(of(u64::MAX), 3_999);
    }

    #[test]
    fn j6_a_list_stays_at_its_last() {
        let seconds: Vec<_> = [1, 5, 30].map(Duration::from_secs).into();
        let list = Backoff::List(seconds.clone());
        let pauses: Vec<_> = (1..=5).map(|failures| pause(&list, failures, 7)).collect();
        assert_eq!(pauses, [seconds[0], seconds[1], seconds[2], seconds[2], seconds[2]]);
    }
}
