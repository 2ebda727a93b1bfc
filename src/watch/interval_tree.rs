//! [`IntervalTree`]: intervals of keys, searched for those that contain a key.
//!
//! An AVL tree in the order of the intervals' starts, in which every node has the furthest end of its
//! subtree. Source: CLRS 14.3 "Interval trees", with AVL instead of red-black trees, and all matches
//! instead of one. The shape does not depend on chance, so clients who choose the intervals cannot make
//! it degenerate.
//!
//! The nodes are in one vector without gaps: the last node moves into the slot of a removed one. That
//! costs a walk from the root, but needs no free list and no compaction.
//!
//! Recursion goes as deep as the tree, and 2^32 nodes have at most 46 levels.

use std::cmp::Ordering;

use smallvec::{SmallVec, smallvec};

use crate::model::Blob;

/// The index of a node.
type NodeIndex = u32;

/// No node: the vector is never this long.
const NIL: NodeIndex = NodeIndex::MAX;

/// A vector this many times longer than its nodes need is shrunk.
const SLACK_MAX: usize = 4;

/// A map from intervals `[from, to)` of byte strings to values; an empty `to` stands for no end.
///
/// Intervals are distinguished by their bounds. One without keys (`to` not after `from`) is kept like
/// any other and contains nothing.
#[derive(Debug)]
pub(crate) struct IntervalTree<V> {
    nodes: Vec<TreeNode<V>>,
    root: NodeIndex,
}

#[derive(Debug)]
struct TreeNode<V> {
    from: Blob,
    to: Blob,
    value: V,
    left: NodeIndex,
    right: NodeIndex,
    /// The node of this subtree with the furthest `to`; takes a quarter of the memory of a copy of
    /// `to`.
    furthest: NodeIndex,
    /// The number of levels of this subtree.
    height: u8,
}

impl<V> Default for IntervalTree<V> {
    fn default() -> Self {
        Self { nodes: Vec::new(), root: NIL }
    }
}

impl<V> IntervalTree<V> {
    /// Returns the values of all intervals, in no particular order.
    #[cfg(test)]
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.nodes.iter().map(|node| &node.value)
    }

    /// Returns the number of intervals.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns whether there are no intervals.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns the value of exactly `[from, to)`. O(log n).
    pub(crate) fn get(&self, from: &[u8], to: &[u8]) -> Option<&V> {
        Some(&self.node(self.find(from, to))?.value)
    }

    /// Returns the value of exactly `[from, to)`, mutable. O(log n).
    pub(crate) fn get_mut(&mut self, from: &[u8], to: &[u8]) -> Option<&mut V> {
        let at = self.find(from, to);
        Some(&mut self.node_mut(at)?.value)
    }

    /// Sets the value of `[from, to)` and returns the previous one. O(log n).
    pub(crate) fn insert(&mut self, from: Blob, to: Blob, value: V) -> Option<V> {
        if let Some(present) = self.get_mut(&from, &to) {
            return Some(std::mem::replace(present, value));
        }
        debug_assert!(self.nodes.len() < NIL as usize, "handles are 32 bits");
        let new = self.nodes.len() as NodeIndex;
        self.nodes.push(TreeNode {
            from,
            to,
            value,
            left: NIL,
            right: NIL,
            furthest: new,
            height: 1,
        });
        self.root = self.attach(self.root, new);
        None
    }

    /// Removes exactly `[from, to)` and returns its value. O(log n).
    pub(crate) fn remove(&mut self, from: &[u8], to: &[u8]) -> Option<V> {
        let gone = self.find(from, to);
        if gone == NIL {
            return None;
        }
        self.root = self.detach(self.root, gone);
        let node = self.nodes.swap_remove(gone as usize);
        self.renumber(self.nodes.len() as NodeIndex, gone);
        if self.nodes.capacity() / SLACK_MAX > self.nodes.len() {
            self.nodes.shrink_to(2 * self.nodes.len());
        }
        Some(node.value)
    }

    /// Calls `f` with the value of every interval that contains `key`, in no particular order.
    ///
    /// O((1 + matches) log n), and O(n) at most.
    pub(crate) fn for_each_containing(&self, key: &[u8], mut f: impl FnMut(&V)) {
        let mut pending: SmallVec<[NodeIndex; 48]> = smallvec![self.root];
        while let Some(at) = pending.pop() {
            let Some(node) = self.node(at) else { continue };
            if !ends_after(self.end(node.furthest), key) {
                continue;
            }
            pending.push(node.left);
            if *node.from <= *key {
                pending.push(node.right);
                if ends_after(&node.to, key) {
                    f(&node.value);
                }
            }
        }
    }

    fn node(&self, at: NodeIndex) -> Option<&TreeNode<V>> {
        self.nodes.get(at as usize)
    }

    fn node_mut(&mut self, at: NodeIndex) -> Option<&mut TreeNode<V>> {
        self.nodes.get_mut(at as usize)
    }

    fn left(&self, at: NodeIndex) -> NodeIndex {
        self.node(at).map_or(NIL, |node| node.left)
    }

    fn right(&self, at: NodeIndex) -> NodeIndex {
        self.node(at).map_or(NIL, |node| node.right)
    }

    fn height(&self, at: NodeIndex) -> u8 {
        self.node(at).map_or(0, |node| node.height)
    }

    fn end(&self, at: NodeIndex) -> &[u8] {
        self.node(at).map_or(&[], |node| &node.to)
    }

    fn set_left(&mut self, at: NodeIndex, child: NodeIndex) {
        if let Some(node) = self.node_mut(at) {
            node.left = child;
        }
    }

    fn set_right(&mut self, at: NodeIndex, child: NodeIndex) {
        if let Some(node) = self.node_mut(at) {
            node.right = child;
        }
    }

    fn find(&self, from: &[u8], to: &[u8]) -> NodeIndex {
        let mut at = self.root;
        while let Some(node) = self.node(at) {
            match compare((from, to), (&node.from, &node.to)) {
                Ordering::Less => at = node.left,
                Ordering::Equal => break,
                Ordering::Greater => at = node.right,
            }
        }
        at
    }

    fn order(&self, one: NodeIndex, other: NodeIndex) -> Ordering {
        match (self.node(one), self.node(other)) {
            (Some(one), Some(other)) => compare((&one.from, &one.to), (&other.from, &other.to)),
            _ => Ordering::Equal,
        }
    }

    /// Inserts `new` into the subtree `at`; returns the subtree's new root.
    fn attach(&mut self, at: NodeIndex, new: NodeIndex) -> NodeIndex {
        if at == NIL {
            return new;
        }
        if self.order(new, at).is_lt() {
            let left = self.attach(self.left(at), new);
            self.set_left(at, left);
        } else {
            let right = self.attach(self.right(at), new);
            self.set_right(at, right);
        }
        self.balance(at)
    }

    /// Removes `gone`, which must be there, from the subtree `at`; returns the subtree's new root.
    fn detach(&mut self, at: NodeIndex, gone: NodeIndex) -> NodeIndex {
        match self.order(gone, at) {
            Ordering::Less => {
                let left = self.detach(self.left(at), gone);
                self.set_left(at, left);
                self.balance(at)
            }
            Ordering::Greater => {
                let right = self.detach(self.right(at), gone);
                self.set_right(at, right);
                self.balance(at)
            }
            Ordering::Equal => self.join(self.left(at), self.right(at)),
        }
    }

    /// Joins the two subtrees of a removed node.
    fn join(&mut self, left: NodeIndex, right: NodeIndex) -> NodeIndex {
        if right == NIL {
            return left;
        }
        let mut top = right;
        while self.left(top) != NIL {
            top = self.left(top);
        }
        let rest = self.detach(right, top);
        self.set_left(top, left);
        self.set_right(top, rest);
        self.balance(top)
    }

    /// Restores height, furthest end and balance of `at` after a change one level below; returns the
    /// new root.
    fn balance(&mut self, at: NodeIndex) -> NodeIndex {
        let (left, right) = (self.left(at), self.right(at));
        if self.height(left) > self.height(right) + 1 {
            if self.height(self.left(left)) < self.height(self.right(left)) {
                let raised = self.rotate_left(left);
                self.set_left(at, raised);
            }
            self.rotate_right(at)
        } else if self.height(right) > self.height(left) + 1 {
            if self.height(self.right(right)) < self.height(self.left(right)) {
                let raised = self.rotate_right(right);
                self.set_right(at, raised);
            }
            self.rotate_left(at)
        } else {
            self.refresh(at);
            at
        }
    }

    fn rotate_left(&mut self, at: NodeIndex) -> NodeIndex {
        let raised = self.right(at);
        self.set_right(at, self.left(raised));
        self.set_left(raised, at);
        self.refresh(at);
        self.refresh(raised);
        raised
    }

    fn rotate_right(&mut self, at: NodeIndex) -> NodeIndex {
        let raised = self.left(at);
        self.set_left(at, self.right(raised));
        self.set_right(raised, at);
        self.refresh(at);
        self.refresh(raised);
        raised
    }

    /// Recomputes what `at` stores about its subtree.
    fn refresh(&mut self, at: NodeIndex) {
        let mut furthest = at;
        let mut height = 0;
        for child in [self.left(at), self.right(at)] {
            if let Some(child) = self.node(child) {
                height = height.max(child.height);
                if compare_ends(self.end(child.furthest), self.end(furthest)).is_gt() {
                    furthest = child.furthest;
                }
            }
        }
        if let Some(node) = self.node_mut(at) {
            node.furthest = furthest;
            node.height = height + 1;
        }
    }

    /// Redirects references from `old` to `new`, where the node is now.
    fn renumber(&mut self, old: NodeIndex, new: NodeIndex) {
        if old == new {
            return;
        }
        let renumbered = |at: &mut NodeIndex| {
            if *at == old {
                *at = new;
            }
        };
        renumbered(&mut self.root);
        let mut at = self.root;
        loop {
            let next = self.order(new, at);
            let Some(node) = self.node_mut(at) else { break };
            renumbered(&mut node.furthest);
            renumbered(&mut node.left);
            renumbered(&mut node.right);
            at = match next {
                Ordering::Less => node.left,
                Ordering::Equal => break,
                Ordering::Greater => node.right,
            };
        }
    }
}

/// Returns whether an interval that ends at `to` extends beyond `key`.
fn ends_after(to: &[u8], key: &[u8]) -> bool {
    to.is_empty() || key < to
}

fn compare(one: (&[u8], &[u8]), other: (&[u8], &[u8])) -> Ordering {
    one.0.cmp(other.0).then_with(|| compare_ends(one.1, other.1))
}

/// Compares ends; no end is greater than every other.
fn compare_ends(one: &[u8], other: &[u8]) -> Ordering {
    one.is_empty().cmp(&other.is_empty()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(Vec<u8>, Vec<u8>, u32),
        Remove(Vec<u8>, Vec<u8>),
        /// Removes an interval that exists.
        RemoveNth(usize),
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(select(vec![0, b'a', b'b', 0xff]), 0..4)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (bytes(), bytes(), any::<u32>()).prop_map(|(from, to, v)| Step::Insert(from, to, v)),
            1 => (bytes(), bytes()).prop_map(|(from, to)| Step::Remove(from, to)),
            3 => any::<usize>().prop_map(Step::RemoveNth),
        ]
    }

    fn containing(tree: &IntervalTree<u32>, key: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        tree.for_each_containing(key, |value| found.push(*value));
        found.sort_unstable();
        found
    }

    /// Counts the nodes below `at`, and checks their order and the invariants in the module doc.
    fn check(tree: &IntervalTree<u32>, at: NodeIndex) -> usize {
        let Some(node) = tree.node(at) else { return 0 };
        let (left, right) = (node.left, node.right);
        assert!(left == NIL || tree.order(left, at).is_lt());
        assert!(right == NIL || tree.order(at, right).is_lt());
        assert!(tree.height(left).abs_diff(tree.height(right)) <= 1);
        assert_eq!(node.height, 1 + tree.height(left).max(tree.height(right)));
        let mut pending = vec![at];
        while let Some(below) = pending.pop() {
            let Some(below) = tree.node(below) else { continue };
            assert!(compare_ends(&below.to, tree.end(node.furthest)).is_le());
            pending.extend([below.left, below.right]);
        }
        1 + check(tree, left) + check(tree, right)
    }

    proptest! {
        #[test]
        fn finds_what_a_list_of_intervals_finds(
            steps in vec(step(), 0..300),
            keys in vec(bytes(), 20),
        ) {
            let mut tree = IntervalTree::default();
            let mut model: Vec<(Vec<u8>, Vec<u8>, u32)> = Vec::new();
            for step in steps {
                let (from, to, value) = match step {
                    Step::Insert(from, to, value) => (from, to, Some(value)),
                    Step::Remove(from, to) => (from, to, None),
                    Step::RemoveNth(_) if model.is_empty() => continue,
                    Step::RemoveNth(n) => {
                        let (from, to, _) = model[n % model.len()].clone();
                        (from, to, None)
                    }
                };
                let place = model.iter().position(|(f, t, _)| (f, t) == (&from, &to));
                let before = place.map(|place| model.swap_remove(place).2);
                prop_assert_eq!(tree.get(&from, &to).copied(), before);
                match value {
                    Some(value) => {
                        let (f, t) = (Blob::from(&from[..]), Blob::from(&to[..]));
                        prop_assert_eq!(tree.insert(f, t, value), before);
                        model.push((from, to, value));
                    }
                    None => prop_assert_eq!(tree.remove(&from, &to), before),
                }
                prop_assert_eq!(tree.len(), model.len());
            }
            prop_assert_eq!(check(&tree, tree.root), model.len());
            for key in keys {
                let mut expected: Vec<u32> = model
                    .iter()
                    .filter(|(from, to, _)| *from <= key && (to.is_empty() || key < *to))
                    .map(|(_, _, value)| *value)
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(containing(&tree, &key), expected);
            }
        }
    }

    #[test]
    fn stays_flat_when_intervals_come_and_go_in_order() {
        let key = |n: u32| Blob::from(n.to_be_bytes().to_vec());
        let mut tree = IntervalTree::default();
        for n in 0..10_000 {
            tree.insert(key(n), key(n + 2), n);
        }
        assert!(tree.height(tree.root) <= 14);
        assert_eq!(containing(&tree, &key(5_000)), [4_999, 5_000]);
        for n in 0..9_990 {
            assert_eq!(tree.remove(&key(n), &key(n + 2)), Some(n));
        }
        assert_eq!(check(&tree, tree.root), 10);
        assert!(tree.nodes.capacity() <= 40);
    }

    #[test]
    fn gives_all_memory_back() {
        let mut tree = IntervalTree::default();
        tree.insert("a".into(), "b".into(), 1);
        tree.remove(b"a", b"b");
        assert!(tree.is_empty());
        assert_eq!(tree.nodes.capacity(), 0);
    }
}
