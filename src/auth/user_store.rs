//! [`UserStore`]: roles and users, as written in the user file.

use std::collections::{BTreeMap, BTreeSet};

use super::password::PasswordHash;
use super::token::{self, TokenHash, TokenId};
use super::{Access, Action, NewToken, Pattern, layout};
use crate::config::AuthConfig;
use crate::error::{Details, Error, ErrorCode};

/// Characters of names besides letters and digits; none needs an escape in a log or in a shell.
const NAME_SIGNS: &str = "._-@+:/=";

/// Roles and users. Each refusal is a sentence, and changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserStore {
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) users: BTreeMap<String, User>,
}

/// The grants of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// Everything: every action on every name, and administration.
    pub admin: bool,
    pub(super) grants: BTreeMap<Action, BTreeSet<Pattern>>,
}

/// A user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    pub(super) password: Option<PasswordHash>,
    /// The names of its roles.
    pub(super) roles: BTreeSet<String>,
    pub(super) tokens: BTreeMap<TokenId, Token>,
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) label: String,
    pub(super) hash: TokenHash,
}

/// The public part of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// The id of the token, by which it is revoked.
    pub id: String,
    /// The label that its creator chose.
    pub label: String,
}

impl Role {
    /// Returns the patterns on which the role grants an action, in order.
    pub fn patterns(&self, action: Action) -> impl Iterator<Item = &Pattern> {
        self.grants.get(&action).into_iter().flatten()
    }

    pub(crate) fn grant(&mut self, action: Action, pattern: Pattern) -> bool {
        self.grants.entry(action).or_default().insert(pattern)
    }

    fn count(&self) -> usize {
        self.grants.values().map(BTreeSet::len).sum()
    }
}

impl User {
    /// Returns true if the user can log in with a password.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Returns the roles by name.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(String::as_str)
    }

    /// Returns the tokens.
    pub fn tokens(&self) -> impl Iterator<Item = TokenInfo> {
        let told = |(id, token): (&TokenId, &Token)| TokenInfo {
            id: token::hex(id),
            label: token.label.clone(),
        };
        self.tokens.iter().map(told)
    }
}

impl UserStore {
    /// Returns a book without users and roles.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses the text of a user file.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: a sentence that names the line but no secret in it; or the errors of
    /// [`check`](Self::check).
    pub fn from_toml(text: &str, config: &AuthConfig) -> Result<Self, Error> {
        let store = layout::read(text, config)?;
        store.check(config)?;
        Ok(store)
    }

    /// Returns the text of a user file.
    pub fn to_toml(&self) -> String {
        layout::write(self)
    }

    /// Checks that the book is within its limits, and that every assigned role exists.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, with the exceeded limit as its details.
    pub fn check(&self, config: &AuthConfig) -> Result<(), Error> {
        let limit = |name: &str, max: usize, count: usize, what: &str| {
            if count <= max {
                return Ok(());
            }
            Err(over(name, max as u64, format!("{what}: {count}, but the limit {name} is {max}")))
        };
        limit("auth.users_max", config.users_max, self.users.len(), "users")?;
        limit("auth.roles_max", config.roles_max, self.roles.len(), "roles")?;
        for (name, role) in &self.roles {
            check_length("role", name, config.name_bytes_max)?;
            let what = format!("patterns of role {name}");
            limit("auth.role_patterns_max", config.role_patterns_max, role.count(), &what)?;
        }
        for (name, user) in &self.users {
            check_length("user", name, config.name_bytes_max)?;
            let (max, what) = (config.tokens_per_user_max, format!("tokens of user {name}"));
            limit("auth.tokens_per_user_max", max, user.tokens.len(), &what)?;
            for token in user.tokens.values().filter(|token| !token.label.is_empty()) {
                check_length("token", &token.label, config.name_bytes_max)?;
            }
            for role in &user.roles {
                self.role(role).map_err(invalid)?;
            }
        }
        let mut ids: Vec<&TokenId> = self.users.values().flat_map(|it| it.tokens.keys()).collect();
        let tokens = ids.len();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() == tokens { Ok(()) } else { Err(invalid("two tokens have the same id")) }
    }

    /// Returns all roles by name.
    pub fn roles(&self) -> impl Iterator<Item = (&str, &Role)> {
        self.roles.iter().map(|(name, role)| (name.as_str(), role))
    }

    /// Returns all users by name.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    /// Returns a role.
    ///
    /// # Errors
    ///
    /// If the role does not exist.
    pub fn role(&self, name: &str) -> Result<&Role, String> {
        self.roles.get(name).ok_or_else(|| no("role", name))
    }

    /// Returns a user.
    ///
    /// # Errors
    ///
    /// If the user does not exist.
    pub fn user(&self, name: &str) -> Result<&User, String> {
        self.users.get(name).ok_or_else(|| no("user", name))
    }

    fn role_mut(&mut self, name: &str) -> Result<&mut Role, String> {
        self.roles.get_mut(name).ok_or_else(|| no("role", name))
    }

    fn user_mut(&mut self, name: &str) -> Result<&mut User, String> {
        self.users.get_mut(name).ok_or_else(|| no("user", name))
    }

    /// Adds a role without grants.
    ///
    /// # Errors
    ///
    /// If the role exists, or the name is invalid.
    pub fn add_role(&mut self, name: &str) -> Result<(), String> {
        check_name("role", name)?;
        if self.roles.contains_key(name) {
            return Err(format!("the role {name} already exists"));
        }
        self.roles.insert(name.to_owned(), Role::default());
        Ok(())
    }

    /// Removes a role, also from its users.
    ///
    /// # Errors
    ///
    /// If the role does not exist.
    pub fn remove_role(&mut self, name: &str) -> Result<(), String> {
        self.roles.remove(name).map(drop).ok_or_else(|| no("role", name))?;
        for user in self.users.values_mut() {
            user.roles.remove(name);
        }
        Ok(())
    }

    /// Makes a role grant everything, or no longer do so.
    ///
    /// # Errors
    ///
    /// If the role does not exist.
    pub fn set_admin(&mut self, role: &str, admin: bool) -> Result<(), String> {
        self.role_mut(role)?.admin = admin;
        Ok(())
    }

    /// Grants an action on the names of a pattern; returns true if the role did not grant it
    /// before.
    ///
    /// # Errors
    ///
    /// If the role does not exist.
    pub fn grant(&mut self, role: &str, action: Action, on: Pattern) -> Result<bool, String> {
        Ok(self.role_mut(role)?.grant(action, on))
    }

    /// Revokes the grant of an action on the names of a pattern.
    ///
    /// # Errors
    ///
    /// If the role does not exist, or has no such grant for exactly this pattern.
    pub fn revoke(&mut self, role: &str, action: Action, on: &Pattern) -> Result<(), String> {
        let granted = self.role_mut(role)?.grants.get_mut(&action);
        if granted.is_some_and(|granted| granted.remove(on)) {
            return Ok(());
        }
        Err(format!(
            "role {role} does not grant {action} on `{on}`; `wakeful role ls` lists its grants"
        ))
    }

    /// Adds a user, with or without the hash of its password (from
    /// [`hash_password`](super::hash_password)).
    ///
    /// # Errors
    ///
    /// If the user exists, or the name or the hash is invalid.
    pub fn add_user(&mut self, name: &str, password: Option<&str>) -> Result<(), String> {
        check_name("user", name)?;
        if self.users.contains_key(name) {
            return Err(format!("the user {name} already exists"));
        }
        let password = password.map(read_hash).transpose()?;
        self.users.insert(name.to_owned(), User { password, ..User::default() });
        Ok(())
    }

    /// Sets the password of a user, by its hash, or removes it.
    ///
    /// # Errors
    ///
    /// If the user does not exist, or the hash is invalid.
    pub fn set_password(&mut self, user: &str, password: Option<&str>) -> Result<(), String> {
        let password = password.map(read_hash).transpose()?;
        self.user_mut(user)?.password = password;
        Ok(())
    }

    /// Removes a user and its tokens.
    ///
    /// # Errors
    ///
    /// If the user does not exist.
    pub fn remove_user(&mut self, name: &str) -> Result<(), String> {
        self.users.remove(name).map(drop).ok_or_else(|| no("user", name))
    }

    /// Gives a user a role; returns true if the user did not have it.
    ///
    /// # Errors
    ///
    /// If the user or the role does not exist.
    pub fn give_role(&mut self, user: &str, role: &str) -> Result<bool, String> {
        self.role(role)?;
        Ok(self.user_mut(user)?.roles.insert(role.to_owned()))
    }

    /// Takes a role from a user.
    ///
    /// # Errors
    ///
    /// If the user does not exist, or does not have the role.
    pub fn take_role(&mut self, user: &str, role: &str) -> Result<(), String> {
        if self.user_mut(user)?.roles.remove(role) {
            return Ok(());
        }
        Err(format!("user {user} does not have the role {role}"))
    }

    /// Adds a token to a user.
    ///
    /// # Errors
    ///
    /// If the user does not exist, or the label is not a valid name.
    pub fn add_token(&mut self, user: &str, label: &str, token: &NewToken) -> Result<(), String> {
        if !label.is_empty() {
            check_name("token", label)?;
        }
        let id = token::unhex(&token.id()).ok_or("the token has no id")?;
        let kept = Token { label: label.to_owned(), hash: token.hash() };
        self.user_mut(user)?.tokens.insert(id, kept);
        Ok(())
    }

    /// Revokes a token, by its id or its label.
    ///
    /// # Errors
    ///
    /// If the user or the token does not exist, or several tokens have that label.
    pub fn remove_token(&mut self, user: &str, id_or_label: &str) -> Result<(), String> {
        let tokens = &mut self.user_mut(user)?.tokens;
        let named = |(id, token): (&TokenId, &Token)| {
            (token::hex(id) == id_or_label || token.label == id_or_label).then_some(*id)
        };
        let ids: Vec<TokenId> = tokens.iter().filter_map(named).collect();
        match ids.as_slice() {
            [id] => {
                tokens.remove(id);
                Ok(())
            }
            [] => Err(format!("user {user} has no token {}", id_or_label.escape_debug())),
            _ => Err(format!(
                "user {user} has {} tokens of that label; give the id of one",
                ids.len()
            )),
        }
    }

    pub(super) fn access(&self, user: &User) -> Access {
        Access::new(user.roles.iter().filter_map(|role| self.roles.get(role)))
    }
}

fn no(what: &str, name: &str) -> String {
    format!("there is no {what} {}", name.escape_debug())
}

/// Parses a hash without the limits of a configuration, which the reader of the book applies.
fn read_hash(text: &str) -> Result<PasswordHash, String> {
    let config = AuthConfig {
        hash_memory_bytes_max: usize::MAX,
        hash_passes_max: u32::MAX,
        ..AuthConfig::new()
    };
    PasswordHash::parse(text, &config).map_err(|error| error.message)
}

pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || NAME_SIGNS.contains(c);
    !name.is_empty() && name.chars().all(fits)
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    if is_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    let shown = shown.escape_debug();
    Err(format!("`{shown}` is not a valid {what} name: use letters, digits and {NAME_SIGNS}"))
}

/// Does the check of [`check_name`], and checks the length.
fn check_length(what: &str, name: &str, max: usize) -> Result<(), Error> {
    check_name(what, name).map_err(invalid)?;
    if name.len() <= max {
        return Ok(());
    }
    let (limit, bytes) = ("auth.name_bytes_max", name.len());
    Err(over(
        limit,
        max as u64,
        format!("the name of a {what} has {bytes} bytes; {limit} is {max}"),
    ))
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}

/// Returns the refusal for a value beyond a limit.
pub(super) fn over(name: &str, value: u64, message: impl Into<String>) -> Error {
    let details = Details::Limit { name: name.to_owned(), value };
    invalid(message).with_details(details)
}
