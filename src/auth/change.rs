//! The changes between two versions of a [`UserStore`], for the audit log.

use std::collections::BTreeMap;

use super::{User, UserStore};

/// One change: the act, and its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserChange {
    /// The act, as in `user added`.
    pub(super) act: &'static str,
    /// The name of the user or the role.
    pub(super) name: String,
}

/// Returns every change, in order of names.
pub(super) fn changes(before: &UserStore, after: &UserStore) -> Vec<UserChange> {
    let mut changes = Vec::new();
    compare(&before.roles, &after.roles, "role added", "role removed", &mut changes, |_, _| {
        vec!["role changed"]
    });
    compare(&before.users, &after.users, "user added", "user removed", &mut changes, user);
    changes
}

fn compare<T: PartialEq>(
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    added: &'static str,
    removed: &'static str,
    changes: &mut Vec<UserChange>,
    differ: impl Fn(&T, &T) -> Vec<&'static str>,
) {
    let mut note = |act, name: &String| changes.push(UserChange { act, name: name.clone() });
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        note(removed, name);
    }
    for (name, new) in after {
        match before.get(name) {
            None => note(added, name),
            Some(old) if old != new => differ(old, new).into_iter().for_each(|act| note(act, name)),
            Some(_) => {}
        }
    }
}

fn user(before: &User, after: &User) -> Vec<&'static str> {
    let changes = [
        (before.password != after.password, "password changed"),
        (before.roles != after.roles, "roles of user changed"),
        (before.tokens != after.tokens, "tokens of user changed"),
    ];
    changes.into_iter().filter(|(changed, _)| *changed).map(|(_, act)| act).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Action, NewToken, Pattern};
    use super::*;

    #[test]
    fn a8_each_change_is_told_by_name() {
        let mut before = UserStore::new();
        before.add_role("app").unwrap();
        before.add_role("old").unwrap();
        for user in ["alice", "bob", "carol"] {
            before.add_user(user, None).unwrap();
        }
        let mut after = before.clone();
        assert_eq!(changes(&before, &after), []);
        after.remove_role("old").unwrap();
        after.grant("app", Action::Read, Pattern::all()).unwrap();
        after.remove_user("bob").unwrap();
        after.give_role("alice", "app").unwrap();
        after.add_token("alice", "", &NewToken::draw()).unwrap();
        after.add_user("dave", None).unwrap();
        let told: Vec<String> = changes(&before, &after)
            .iter()
            .map(|change| format!("{} {}", change.act, change.name))
            .collect();
        let expected = [
            "role removed old",
            "role changed app",
            "user removed bob",
            "roles of user changed alice",
            "tokens of user changed alice",
            "user added dave",
        ];
        assert_eq!(told, expected);
    }
}
