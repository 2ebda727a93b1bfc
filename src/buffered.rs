//! [`BufferedBytes`]: the bytes that are kept for a connection until its peer takes them, counted per
//! connection and in total.
//!
//! A [`Charge`] counts bytes until it is dropped. The hub charges each batch when it reads it from the
//! history, the outbox what actors leave in it, the queue a parked push, and the connection its answers
//! and encoded output; small answers that the socket takes at once are never charged.
//!
//! When an account is full, nothing more is read for its owner: the hub pauses its streams; the store
//! returns the rest of a message, which the connection hands over again when the earlier answers are
//! written; and the queue skips its reserves. When a connection can take more again, it announces that
//! if something was left unread. At the limit of all connections, each has an equal share: a connection
//! below its share is not held up, and a larger read is refused.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Bytes kept for all connections of a service.
#[derive(Debug, Default)]
pub(crate) struct TotalBuffered {
    bytes: AtomicUsize,
    connections: AtomicUsize,
}

impl TotalBuffered {
    /// Returns the bytes kept now.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

/// Counts the bytes kept for one connection until its peer takes them: answers, batches of streams and
/// encoded output.
///
/// At the limit of the connection, nothing more is read for it. At the limit of the service, the same
/// holds for each connection that keeps more than its equal share, so that peers that read are served.
#[derive(Debug)]
pub(crate) struct BufferedBytes {
    own: AtomicUsize,
    /// Bytes of `own` that wait for the credit of a stream, not for the socket.
    uncredited: AtomicUsize,
    own_max: usize,
    total: Arc<TotalBuffered>,
    total_max: usize,
    /// Whether something was left unread since the last [`take_paused`](Self::take_paused).
    paused: AtomicBool,
}

/// How much more may be read for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) bytes: usize,
    /// Whether nothing larger than `bytes` may be read, because the service is at its limit; otherwise,
    /// one more item may be.
    pub(crate) is_strict: bool,
}

impl Allowance {
    /// Returns whether an answer of `bytes` must not be kept at all.
    pub(crate) fn refuses(&self, bytes: usize) -> bool {
        self.is_strict && bytes > self.bytes
    }
}

impl BufferedBytes {
    pub(crate) fn new(total: &Arc<TotalBuffered>, own_max: usize, total_max: usize) -> Self {
        total.connections.fetch_add(1, Relaxed);
        Self {
            own: AtomicUsize::new(0),
            uncredited: AtomicUsize::new(0),
            own_max,
            total: Arc::clone(total),
            total_max,
            paused: AtomicBool::new(false),
        }
    }

    /// Makes a counter without limits for this process, which counts for no service.
    pub(crate) fn unlimited() -> Self {
        Self::new(&Arc::default(), usize::MAX, usize::MAX)
    }

    /// Returns the bytes kept for this connection now.
    pub(crate) fn bytes(&self) -> usize {
        self.own.load(Relaxed)
    }

    /// Returns the limit of all connections.
    pub(crate) fn total_max(&self) -> usize {
        self.total_max
    }

    /// Returns how much more may be read for this connection. Bytes that wait for the credit of one
    /// stream do not hold up another.
    pub(crate) fn allowance(&self) -> Allowance {
        let own = self.bytes();
        let blocked = own.saturating_sub(self.uncredited.load(Relaxed));
        let bytes = self.own_max.saturating_sub(blocked);
        if self.total.bytes() < self.total_max {
            return Allowance { bytes, is_strict: false };
        }
        let share = self.total_max / self.total.connections.load(Relaxed).max(1);
        Allowance { bytes: bytes.min(share.saturating_sub(own)), is_strict: true }
    }

    /// Notes that something was left unread because the account is full.
    pub(crate) fn note_paused(&self) {
        self.paused.store(true, Relaxed);
    }

    /// Returns, once, whether something was left unread that may be read now.
    pub(crate) fn take_paused(&self) -> bool {
        self.paused.load(Relaxed) && self.allowance().bytes > 0 && self.paused.swap(false, Relaxed)
    }

    fn change(&self, from: usize, to: usize) {
        // Each figure is correct by itself, and publishes nothing else.
        if to > from {
            self.own.fetch_add(to - from, Relaxed);
            self.total.bytes.fetch_add(to - from, Relaxed);
        } else if to < from {
            self.own.fetch_sub(from - to, Relaxed);
            self.total.bytes.fetch_sub(from - to, Relaxed);
        }
    }
}

impl Drop for BufferedBytes {
    fn drop(&mut self) {
        self.total.connections.fetch_sub(1, Relaxed);
    }
}

/// Bytes counted in a [`BufferedBytes`], until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    buffered: Arc<BufferedBytes>,
    bytes: usize,
    is_uncredited: bool,
}

impl Charge {
    pub(crate) fn new(buffered: &Arc<BufferedBytes>, bytes: usize) -> Self {
        buffered.change(0, bytes);
        Self { buffered: Arc::clone(buffered), bytes, is_uncredited: false }
    }

    /// Replaces the counted bytes with `bytes`.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            let is_uncredited = self.is_uncredited;
            self.set_uncredited(false);
            self.buffered.change(self.bytes, bytes);
            self.bytes = bytes;
            self.set_uncredited(is_uncredited);
        }
    }

    /// Notes whether the bytes wait for the credit of a stream.
    pub(crate) fn set_uncredited(&mut self, is_uncredited: bool) {
        if is_uncredited == self.is_uncredited {
            return;
        }
        self.is_uncredited = is_uncredited;
        if is_uncredited {
            self.buffered.uncredited.fetch_add(self.bytes, Relaxed);
        } else {
            self.buffered.uncredited.fetch_sub(self.bytes, Relaxed);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set_uncredited(false);
        self.buffered.change(self.bytes, 0);
    }
}

/// A value that is kept for a connection, with its [`Charge`].
#[derive(Debug)]
pub(crate) struct Buffered<T> {
    value: T,
    charge: Option<Charge>,
}

impl<T> Buffered<T> {
    pub(crate) fn new(value: T, charge: Charge) -> Self {
        Self { value, charge: Some(charge) }
    }

    /// Keeps a value that is too small to be counted.
    pub(crate) fn uncounted(value: T) -> Self {
        Self { value, charge: None }
    }

    pub(crate) fn set_uncredited(&mut self, is_uncredited: bool) {
        if let Some(charge) = &mut self.charge {
            charge.set_uncredited(is_uncredited);
        }
    }
}

impl<T> Deref for Buffered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Buffered<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(total: &Arc<TotalBuffered>) -> Arc<BufferedBytes> {
        Arc::new(BufferedBytes::new(total, 100, 300))
    }

    #[test]
    fn s10_a_connection_at_its_limit_is_read_for_no_more() {
        let total = Arc::default();
        let buffered = of(&total);
        let mut charge = Charge::new(&buffered, 40);
        assert_eq!(buffered.allowance(), Allowance { bytes: 60, is_strict: false });
        assert!(!buffered.allowance().refuses(1000), "one item more");
        charge.set(100);
        assert_eq!(buffered.allowance().bytes, 0);
        charge.set_uncredited(true);
        assert_eq!(buffered.allowance().bytes, 100, "another stream is not held up");
        assert_eq!((buffered.bytes(), total.bytes()), (100, 100));
        drop(charge);
        assert_eq!((buffered.bytes(), total.bytes()), (0, 0));
        assert_eq!(buffered.allowance().bytes, 100);
    }

    #[test]
    fn s10_a_service_at_its_limit_serves_those_below_their_share() {
        let total = Arc::default();
        let most = [of(&total), of(&total), of(&total), of(&total)];
        let charges = most.each_ref().map(|buffered| Charge::new(buffered, 99));
        let reader = of(&total);
        let allowance = reader.allowance();
        assert_eq!(allowance, Allowance { bytes: 60, is_strict: true }, "300 for 5");
        assert!(!allowance.refuses(60) && allowance.refuses(61));
        assert!(most.iter().all(|buffered| buffered.allowance().bytes == 0));
        drop(charges);
        assert!(!reader.allowance().refuses(1000));
    }

    #[test]
    fn s10_what_was_left_unread_is_told_once_there_is_room() {
        let total = Arc::default();
        let buffered = of(&total);
        let charge = Charge::new(&buffered, 100);
        assert!(!buffered.take_paused());
        buffered.note_paused();
        assert!(!buffered.take_paused(), "no room yet");
        drop(charge);
        assert!(buffered.take_paused());
        assert!(!buffered.take_paused());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Charge(usize, usize),
        Set(usize, usize),
        Credit(usize, bool),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_usize, 0..500_usize).prop_map(|(of, bytes)| Step::Charge(of, bytes)),
            (0..8_usize, 0..500_usize).prop_map(|(n, bytes)| Step::Set(n, bytes)),
            (0..8_usize, any::<bool>()).prop_map(|(n, without)| Step::Credit(n, without)),
            (0..8_usize).prop_map(Step::Drop),
        ]
    }

    proptest! {
        #[test]
        fn s10_the_counter_is_the_sum_of_what_is_kept(steps in proptest::collection::vec(step(), 0..50)) {
            let total: Arc<TotalBuffered> = Arc::default();
            let all = [of(&total), of(&total), of(&total)];
            let mut charges: Vec<(usize, Charge)> = Vec::new();
            for step in steps {
                let count = charges.len().max(1);
                match step {
                    Step::Charge(of, bytes) => charges.push((of, Charge::new(&all[of], bytes))),
                    Step::Set(n, bytes) => {
                        if let Some((_, charge)) = charges.get_mut(n % count) {
                            charge.set(bytes);
                        }
                    }
                    Step::Credit(n, without) => {
                        if let Some((_, charge)) = charges.get_mut(n % count) {
                            charge.set_uncredited(without);
                        }
                    }
                    Step::Drop(n) if n < charges.len() => drop(charges.swap_remove(n)),
                    Step::Drop(_) => {}
                }
                for (at, buffered) in all.iter().enumerate() {
                    let own = charges.iter().filter(|(of, _)| *of == at).map(|(_, it)| it);
                    let bytes: usize = own.clone().map(|it| it.bytes).sum();
                    let without: usize =
                        own.filter(|it| it.is_uncredited).map(|it| it.bytes).sum();
                    prop_assert_eq!(buffered.bytes(), bytes);
                    prop_assert_eq!(buffered.uncredited.load(Relaxed), without);
                }
                let kept: usize = charges.iter().map(|(_, it)| it.bytes).sum();
                prop_assert_eq!(total.bytes(), kept);
            }
        }
    }
}
