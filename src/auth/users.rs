//! [`Users`]: all users, indexed for lookup.

use std::collections::HashMap;
use std::sync::Arc;

use crate::environment::RandomState;

use super::password::PasswordHash;
use super::token::{self, TokenHash, TokenId};
use super::{Access, UserStore};

/// A user who can log in.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) password: Option<PasswordHash>,
    pub(super) access: Arc<Access>,
}

/// The token shown at a login, as stored in the file at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProvedToken {
    id: TokenId,
    hash: TokenHash,
}

/// All users, indexed for lookup.
#[derive(Debug)]
pub(super) struct Users {
    accounts: HashMap<String, Arc<Account>, RandomState>,
    tokens: HashMap<TokenId, (TokenHash, Arc<Account>), RandomState>,
    /// All password hashes, one of which is checked in place of a missing one.
    passwords: Vec<PasswordHash>,
}

impl Users {
    /// Indexes a user store. `decoy` is checked for unknown users if no user has a password.
    pub(super) fn new(store: &UserStore, decoy: &PasswordHash) -> Self {
        let mut users = Self {
            accounts: HashMap::default(),
            tokens: HashMap::default(),
            passwords: Vec::new(),
        };
        for (name, user) in &store.users {
            let account = Arc::new(Account {
                name: name.clone(),
                password: user.password.clone(),
                access: Arc::new(store.access(user)),
            });
            for (id, token) in &user.tokens {
                users.tokens.insert(*id, (token.hash, Arc::clone(&account)));
            }
            users.passwords.extend(user.password.clone());
            users.accounts.insert(name.clone(), account);
        }
        if users.passwords.is_empty() {
            users.passwords.push(decoy.clone());
        }
        users
    }

    pub(super) fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    /// Returns the owner of a token, and the proof. Hashes and compares unknown tokens too.
    pub(super) fn of_token(&self, token: &str) -> Option<(ProvedToken, &Arc<Account>)> {
        let id = token::id_of(token).unwrap_or_default();
        let found = self.tokens.get(&id);
        let expected = found.map_or([0; 32], |(hash, _)| *hash);
        let proved = token::is(token, &expected);
        found.filter(|_| proved).map(|(hash, account)| (ProvedToken { id, hash: *hash }, account))
    }

    /// Returns true if a token still belongs to the user, unchanged under its id.
    pub(super) fn has_token(&self, token: &ProvedToken, name: &str) -> bool {
        let found = self.tokens.get(&token.id);
        found.is_some_and(|(hash, account)| *hash == token.hash && account.name == name)
    }

    /// Returns the hash to check for `name`, and whether it really belongs to that user. An unknown
    /// user gets the hash of another user, always the same one, so that neither the cost nor a
    /// change of it differs from a wrong password.
    pub(super) fn password_of(&self, name: &str) -> (Option<&PasswordHash>, bool) {
        match self.accounts.get(name).and_then(|account| account.password.as_ref()) {
            Some(own) => (Some(own), true),
            None => {
                let place = self.accounts.hasher().hash_one(name) as usize;
                let place = place.checked_rem(self.passwords.len()).unwrap_or_default();
                (self.passwords.get(place), false)
            }
        }
    }
}
