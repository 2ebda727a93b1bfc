//! The text form of a [`UserStore`]: TOML, version 1.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::password::PasswordHash;
use super::token::{hex, unhex};
use super::user_store::{Token, invalid};
use super::{Action, Pattern, Role, User, UserStore};
use crate::config::AuthConfig;
use crate::error::Error;

/// The version that this program reads and writes.
const VERSION: u32 = 1;

/// The first lines of every file.
const HEAD: &str =
    "# Users of Wakeful. Written by `wakeful user` and `wakeful role`; keep it secret.\n\n";

/// The part of a file that is common to all versions.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserFileText {
    version: u32,
    #[serde(default)]
    roles: BTreeMap<String, RoleText>,
    #[serde(default)]
    users: BTreeMap<String, UserText>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RoleText {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    admin: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    read: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    write: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    watch: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    push: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    work: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    call: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dial: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    /// Tokens by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tokens: BTreeMap<String, TokenText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenText {
    sha256: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    label: String,
}

impl RoleText {
    fn of(&mut self, action: Action) -> &mut Vec<String> {
        match action {
            Action::Read => &mut self.read,
            Action::Write => &mut self.write,
            Action::Watch => &mut self.watch,
            Action::Push => &mut self.push,
            Action::Work => &mut self.work,
            Action::Call => &mut self.call,
            Action::Dial => &mut self.dial,
        }
    }
}

pub(super) fn read(text: &str, config: &AuthConfig) -> Result<UserStore, Error> {
    let Versioned { version } = parse(text).map_err(invalid)?;
    if version != VERSION {
        return Err(invalid(format!(
            "its version is {version}, but this program reads version {VERSION}: another version \
             of Wakeful wrote it"
        )));
    }
    let UserFileText { roles, users, .. } = parse(text).map_err(invalid)?;
    let roles = roles.into_iter().map(|(name, role)| Ok((name, read_role(role)?)));
    let roles = roles.collect::<Result<_, String>>().map_err(invalid)?;
    let users = users.into_iter().map(|(name, user)| {
        let user = read_user(user, config).map_err(|mut error| {
            error.message = format!("user {}: {}", name.escape_debug(), error.message);
            error
        })?;
        Ok((name, user))
    });
    Ok(UserStore { roles, users: users.collect::<Result<_, Error>>()? })
}

/// Parses the text. The message names the line but does not show it, because it may hold a hash.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })
}

fn read_role(mut text: RoleText) -> Result<Role, String> {
    let mut role = Role { admin: text.admin, ..Role::default() };
    for action in Action::ALL {
        for pattern in std::mem::take(text.of(action)) {
            role.grant(action, Pattern::parse(&pattern)?);
        }
    }
    Ok(role)
}

fn read_user(text: UserText, config: &AuthConfig) -> Result<User, Error> {
    let password = text.password.map(|hash| PasswordHash::parse(&hash, config)).transpose()?;
    let tokens = text.tokens.into_iter().map(|(id, token)| {
        let id = unhex(&id).ok_or("a token's id has 16 hexadecimal digits, in lower case")?;
        let hash = unhex(&token.sha256);
        let hash = hash.ok_or("a token's sha256 has 64 hexadecimal digits, in lower case")?;
        Ok((id, Token { label: token.label, hash }))
    });
    let tokens = tokens.collect::<Result<_, String>>().map_err(invalid)?;
    Ok(User { password, roles: BTreeSet::from_iter(text.roles), tokens })
}

pub(super) fn write(store: &UserStore) -> String {
    let roles = store.roles.iter().map(|(name, role)| (name.clone(), write_role(role)));
    let users = store.users.iter().map(|(name, user)| (name.clone(), write_user(user)));
    let text = UserFileText { version: VERSION, roles: roles.collect(), users: users.collect() };
    // Infallible: it holds only maps of text, with text as keys.
    let body = toml::to_string_pretty(&text).unwrap_or_default();
    format!("{HEAD}{body}")
}

fn write_role(role: &Role) -> RoleText {
    let mut text = RoleText { admin: role.admin, ..RoleText::default() };
    for action in Action::ALL {
        *text.of(action) = role.patterns(action).map(Pattern::to_string).collect();
    }
    text
}

fn write_user(user: &User) -> UserText {
    let tokens = user.tokens.iter().map(|(id, token)| {
        (hex(id), TokenText { sha256: hex(&token.hash), label: token.label.clone() })
    });
    UserText {
        password: user.password.as_ref().map(|hash| hash.as_str().to_owned()),
        roles: user.roles.iter().cloned().collect(),
        tokens: tokens.collect(),
    }
}
