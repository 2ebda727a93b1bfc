//! The content of a simulated disk: what can be read now, and what a power failure may leave of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The unit that the simulated disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;

/// A deterministic source of choices (splitmix64).
pub(super) struct FaultRng(pub(super) u64);

impl FaultRng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, which must not be 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// A file's content.
#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) live: Vec<u8>,
    /// The content at the last sync.
    durable: Vec<u8>,
    /// Every state that each unsynced sector has had since then, in order.
    unsynced: BTreeMap<usize, Vec<Vec<u8>>>,
}

impl Content {
    /// Makes a file that is completely durable.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { live: bytes.clone(), durable: bytes, unsynced: BTreeMap::new() }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        if let Some(place) = self.live.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let state = self.live.iter().skip(sector * SECTOR).take(SECTOR).copied().collect();
            self.unsynced.entry(sector).or_default().push(state);
        }
    }

    pub(super) fn sync(&mut self) {
        if self.durable.len() != self.live.len() {
            self.durable.resize(self.live.len(), 0);
        }
        for sector in std::mem::take(&mut self.unsynced).into_keys() {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.live.len());
            if let (Some(to), Some(from)) =
                (self.durable.get_mut(range.clone()), self.live.get(range))
            {
                to.copy_from_slice(from);
            }
        }
    }

    /// Fails a sync: what was written since the last one can be read and counts as written, but no
    /// later sync makes it durable.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    /// Returns what a power failure leaves: each sector, independently, as at the last sync or at any
    /// time since.
    fn after_cut(&self, choices: &mut FaultRng) -> Self {
        let mut left = self.durable.clone();
        if left.len() != self.live.len() && choices.below(2) == 0 {
            left.resize(self.live.len(), 0);
        }
        // Some failures spare nearly everything, some nearly nothing.
        let spared = choices.below(5);
        for (sector, states) in &self.unsynced {
            if choices.below(4) >= spared {
                continue;
            }
            let chosen = choices.below(states.len() as u64) as usize;
            let Some(state) = states.get(chosen) else { continue };
            let place = left.iter_mut().skip(sector * SECTOR);
            place.zip(state).for_each(|(to, from)| *to = *from);
        }
        Self::durable(left)
    }
}

/// A change of a directory.
#[derive(Clone)]
pub(super) enum DirChange {
    Add(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl DirChange {
    fn within(&self, dir: &Path) -> bool {
        let (Self::Add(path, _) | Self::Remove(path) | Self::Rename(path, _)) = self;
        path.parent() == Some(dir)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Add(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

/// The whole content of the disk.
#[derive(Clone, Default)]
pub(super) struct DiskState {
    pub(super) files: BTreeMap<u64, Content>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    changes: Vec<DirChange>,
    made: u64,
    pub(super) locked: BTreeSet<PathBuf>,
    pub(super) faults: DiskFaults,
}

/// The configured faults.
#[derive(Clone, Default)]
pub(super) struct DiskFaults {
    pub(super) short_writes: bool,
    pub(super) writes_left: Option<u64>,
    pub(super) syncs_left: Option<u64>,
    /// Changes of any kind until the process has ended.
    pub(super) changes_left: Option<u64>,
    pub(super) space: Option<u64>,
    pub(super) sync_pause: std::time::Duration,
    pub(super) fail_creates: bool,
    pub(super) hold_syncs: bool,
    pub(super) syncs_held: u64,
}

impl DiskFaults {
    /// Counts down; returns true when the fault occurs.
    pub(super) fn strikes(left: &mut Option<u64>) -> bool {
        match left {
            None => false,
            Some(0) => true,
            Some(more) => {
                *more -= 1;
                false
            }
        }
    }
}

impl DiskState {
    pub(super) fn change(&mut self, change: DirChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    pub(super) fn add(&mut self, path: &Path, content: Content) -> u64 {
        self.made += 1;
        self.files.insert(self.made, content);
        self.change(DirChange::Add(path.to_owned(), self.made));
        self.made
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let durable = &mut self.durable_names;
        self.changes.retain(|change| {
            let within = change.within(dir);
            if within {
                change.apply(durable);
            }
            !within
        });
    }

    pub(super) fn bytes(&self) -> u64 {
        self.names
            .values()
            .filter_map(|file| self.files.get(file))
            .map(|it| it.live.len() as u64)
            .sum()
    }

    /// Returns what a power failure leaves.
    pub(super) fn after_cut(&self, seed: u64) -> Self {
        let mut choices = FaultRng(seed);
        let mut names = self.durable_names.clone();
        for change in &self.changes {
            if choices.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        let files =
            self.files.iter().map(|(file, it)| (*file, it.after_cut(&mut choices))).collect();
        Self {
            files,
            names: names.clone(),
            durable_names: names,
            made: self.made,
            ..Self::default()
        }
    }

    /// Returns what the end of the process leaves: everything, durable or not.
    pub(super) fn after_kill(&self) -> Self {
        let mut left = self.clone();
        left.locked.clear();
        left.faults = DiskFaults::default();
        left
    }
}
