//! [`ChunkedQueue`]: a queue that grows and shrinks by chunks.
//!
//! A `VecDeque` of a million events moves all of them when it grows, which delays every request by tens
//! of milliseconds, and keeps its memory for ever.

use std::collections::VecDeque;

/// The elements of a chunk. A power of two, so that a chunk is found without a division.
const CHUNK: usize = 512;

/// A queue that moves no element: a push allocates at most one chunk, a pop frees at most one.
#[derive(Debug)]
pub(super) struct ChunkedQueue<T> {
    /// All but the last end full; the first has lost `popped` elements at its front.
    chunks: VecDeque<VecDeque<T>>,
    popped: usize,
    len: usize,
}

impl<T> Default for ChunkedQueue<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), popped: 0, len: 0 }
    }
}

impl<T> ChunkedQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the chunk of an element and the position within.
    fn position(&self, index: usize) -> (usize, usize) {
        let place = index.saturating_add(self.popped);
        let (chunk, within) = (place / CHUNK, place % CHUNK);
        (chunk, if chunk == 0 { index } else { within })
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (chunk, within) = self.position(index);
        self.chunks.get(chunk)?.get(within)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let (chunk, within) = self.position(index);
        self.chunks.get_mut(chunk)?.get_mut(within)
    }

    pub(super) fn back(&self) -> Option<&T> {
        self.get(self.len.checked_sub(1)?)
    }

    pub(super) fn push_back(&mut self, element: T) {
        if self.popped + self.len == self.chunks.len() * CHUNK {
            self.chunks.push_back(VecDeque::with_capacity(CHUNK));
        }
        if let Some(last) = self.chunks.back_mut() {
            last.push_back(element);
            self.len += 1;
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let element = self.chunks.front_mut()?.pop_front()?;
        self.len -= 1;
        self.popped += 1;
        if self.len == 0 {
            // The one chunk is kept for the next element.
            self.popped = 0;
        } else if self.popped == CHUNK {
            self.chunks.pop_front();
            self.popped = 0;
        }
        Some(element)
    }

    /// Returns the elements from `first` on, in order.
    pub(super) fn range_from(&self, first: usize) -> impl ExactSizeIterator<Item = &T> {
        let first = first.min(self.len);
        let (chunk, within) = self.position(first);
        let chunks = self.chunks.range(chunk.min(self.chunks.len())..);
        Elements { inner: chunks.flatten().skip(within), left: self.len - first }
    }

    /// Returns the number of elements at the front for which `is_before` holds, as it does for no later one.
    pub(super) fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&is_before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// An iterator that knows how many elements are left.
struct Elements<I> {
    inner: I,
    left: usize,
}

impl<I: Iterator> Iterator for Elements<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.left = self.left.saturating_sub(1);
        self.inner.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for Elements<I> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any pushes and pops leave what they leave of a plain queue, in as few chunks as hold it.
        #[test]
        fn it_holds_what_a_plain_queue_holds(
            runs in prop::collection::vec((any::<bool>(), 1..3 * CHUNK), 0..12),
        ) {
            let mut queue = ChunkedQueue::default();
            let mut plain = VecDeque::new();
            let mut next = 0;
            for (pushes, count) in runs {
                for _ in 0..count {
                    if pushes {
                        queue.push_back(next);
                        plain.push_back(next);
                        next += 1;
                    } else {
                        prop_assert_eq!(queue.pop_front(), plain.pop_front());
                    }
                }
                prop_assert_eq!((queue.len(), queue.back()), (plain.len(), plain.back()));
                prop_assert_eq!(queue.is_empty(), plain.is_empty());
                prop_assert!(queue.chunks.len() <= plain.len() / CHUNK + 2);
                prop_assert!(queue.range_from(0).eq(plain.iter()));
                for index in [0, 1, CHUNK - 1, CHUNK, plain.len() / 2, plain.len()] {
                    prop_assert_eq!(queue.get(index), plain.get(index));
                    prop_assert_eq!(queue.get_mut(index), plain.get_mut(index));
                    let rest = plain.iter().skip(index);
                    prop_assert!(queue.range_from(index).eq(rest));
                    let bound = plain.get(index).copied().unwrap_or(next);
                    prop_assert_eq!(
                        queue.partition_point(|element| *element < bound),
                        plain.partition_point(|element| *element < bound)
                    );
                }
            }
        }
    }
}
