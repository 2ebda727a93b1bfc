//! [`Access`]: the combined grants of a user.

use std::fmt;

use super::key_set::KeySet;
use super::{Pattern, Role};
use crate::error::{Error, ErrorCode};
use crate::model::KeyRange;

/// An action that a role grants on the names that match patterns. (Administration, which includes
/// everything, is granted or not.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Read keys, now and in the past.
    Read,
    /// Set and delete keys.
    Write,
    /// Wait for changes of keys and watch them, which also shows their values.
    Watch,
    /// Push jobs to topics, cancel them, and inspect them.
    Push,
    /// Reserve jobs of topics, settle them, and inspect them.
    Work,
    /// Call the methods of services.
    Call,
    /// Dial in as the server behind a link of this name.
    Dial,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Write, Self::Watch, Self::Push, Self::Work, Self::Call, Self::Dial];

    /// Returns the name of the action in files and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Watch => "watch",
            Self::Push => "push",
            Self::Work => "work",
            Self::Call => "call",
            Self::Dial => "dial",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A missing grant that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// This action on the requested name.
    On(Action),
    /// Either of the two actions.
    PushOrWork,
    Admin,
}

/// Returns the same error for every name, whether anything exists under it or not.
impl From<Denied> for Error {
    fn from(need: Denied) -> Self {
        let what = match need {
            Denied::On(action) => format!("`{action}` on it"),
            Denied::PushOrWork => "`push` or `work` on it".to_owned(),
            Denied::Admin => "`admin`".to_owned(),
        };
        let message =
            format!("not permitted: no role of the user grants {what}; nothing was changed");
        Self::new(ErrorCode::PermissionDenied, message)
    }
}

/// The combined grants of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access {
    admin: bool,
    granted: [KeySet; Action::ALL.len()],
}

impl Access {
    pub(crate) fn new<'a>(roles: impl IntoIterator<Item = &'a Role>) -> Self {
        let roles: Vec<&Role> = roles.into_iter().collect();
        let granted = Action::ALL.map(|action| {
            let patterns = roles.iter().flat_map(|role| role.patterns(action));
            KeySet::new(patterns.collect::<Vec<&Pattern>>())
        });
        Self { admin: roles.iter().any(|role| role.admin), granted }
    }

    fn granted(&self, action: Action) -> &KeySet {
        let [read, write, watch, push, work, call, dial] = &self.granted;
        match action {
            Action::Read => read,
            Action::Write => write,
            Action::Watch => watch,
            Action::Push => push,
            Action::Work => work,
            Action::Call => call,
            Action::Dial => dial,
        }
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.admin
    }

    /// Returns true if an action is granted on every name.
    pub(crate) fn has_all(&self, action: Action) -> bool {
        self.admin || self.granted(action).is_all()
    }

    /// Returns true if an action is granted on any name at all.
    pub(super) fn has_any(&self, action: Action) -> bool {
        self.admin || !self.granted(action).is_empty()
    }

    /// Returns true if an action is granted on a name.
    pub(crate) fn has(&self, action: Action, name: &[u8]) -> bool {
        self.admin || self.granted(action).contains(name)
    }

    /// Returns true if an action is granted on every name of a range.
    pub(crate) fn covers(&self, action: Action, range: &KeyRange) -> bool {
        self.admin || self.granted(action).covers(range)
    }

    /// Returns true if jobs of a topic may be inspected.
    pub(crate) fn sees_topic(&self, topic: &[u8]) -> bool {
        self.has(Action::Push, topic) || self.has(Action::Work, topic)
    }
}
