//! [`LifeFaults`]: the faults in a life, and their frequency.

use std::fmt;

use rand::RngExt;
use rand::rngs::StdRng;

/// Maximum number of bytes left on a disk that is filling up.
const ROOM_MAX: u64 = 96 * 1024;

/// Maximum number of writes or syncs before one fails.
const CHANGES_MAX: u64 = 40;

/// A fault.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// A connection is cut.
    Cut,
    /// The machine's time of day is set.
    Clock { millis: i64 },
    /// The disk has room for up to `room` more bytes.
    Full { room: u64 },
    /// The disk has room again.
    Room,
    /// Writes of more than a sector stop short, or stop doing so.
    Short(bool),
    /// Writes fail after the next `after` of them.
    Write { after: u64 },
    /// Syncs fail after the next `after` of them.
    Sync { after: u64 },
}

/// The faults possible in a life.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LifeFaults {
    cuts: bool,
    clock: bool,
    full: bool,
    short: bool,
    /// True if the disk may fail, which ends the service.
    fails: bool,
}

impl LifeFaults {
    /// Draws faults. Most lives have few, so that clients come far.
    pub(super) fn draw(chance: &mut StdRng, may_fail: bool) -> Self {
        Self {
            cuts: chance.random_bool(0.5),
            clock: chance.random_bool(0.2),
            full: chance.random_bool(0.2),
            short: chance.random_bool(0.3),
            fails: may_fail && chance.random_bool(0.15),
        }
    }

    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Returns the next fault, if any.
    pub(super) fn next(self, chance: &mut StdRng) -> Option<Fault> {
        let mut at = |wanted: bool, odds| wanted && chance.random_bool(odds);
        let (cut, clock) = (at(self.cuts, 0.1), at(self.clock, 0.05));
        let (full, room) = (at(self.full, 0.05), at(self.full, 0.1));
        let (short, fails) = (at(self.short, 0.1), at(self.fails, 0.03));
        Some(if cut {
            Fault::Cut
        } else if clock {
            let days: i64 = chance.random_range(-400..=400);
            let millis: i64 = chance.random_range(-2_000..=2_000);
            let far = chance.random_bool(0.5);
            Fault::Clock { millis: if far { days * 24 * 3_600_000 } else { millis } }
        } else if full {
            Fault::Full { room: chance.random_range(0..=ROOM_MAX) }
        } else if room {
            Fault::Room
        } else if short {
            Fault::Short(chance.random_bool(0.5))
        } else if fails {
            let after = chance.random_range(0..=CHANGES_MAX);
            match chance.random_bool(0.5) {
                true => Fault::Write { after },
                false => Fault::Sync { after },
            }
        } else {
            return None;
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("a connection is cut"),
            Self::Clock { millis } => write!(f, "the clock is set by {millis} ms"),
            Self::Full { room } => write!(f, "the disk has room for {room} more bytes"),
            Self::Room => f.write_str("the disk has room again"),
            Self::Short(true) => f.write_str("writes stop short"),
            Self::Short(false) => f.write_str("writes are whole again"),
            Self::Write { after } => write!(f, "writes fail after {after} more"),
            Self::Sync { after } => write!(f, "syncs fail after {after} more"),
        }
    }
}
