//! Who the requests of a connection are shown as to operators.

use std::sync::Arc;

use super::RequestDispatcher;
use crate::fair::ClientId;
use crate::store::client_of_user;
use crate::watch::WatchOwner;

impl RequestDispatcher {
    /// The peer has begun, and has said what it is called, if it has: `unnamed` describes it otherwise.
    pub(crate) fn meet(&mut self, named: Option<String>, unnamed: &str) {
        self.open = true;
        let mut name = self.session.peer().to_string();
        match &named {
            Some(named) => name += &format!(" ({named})"),
            None => name += unnamed,
        }
        self.client = named;
        // What was proved does not go by what the peer calls itself, nor by when.
        let mut client = self.owner.client;
        if let Some(identity) = self.session.identity() {
            name += &format!(" as {}", identity.name);
            client = client_of_user(&identity.name);
        }
        self.rename_owner(name, client);
    }

    pub(super) fn rename_owner(&mut self, name: String, client: ClientId) {
        let buffered = Arc::clone(&self.owner.buffered);
        self.jobs.client = client;
        self.owner = Arc::new(WatchOwner { id: self.owner.id, name, client, buffered });
    }

    /// Whether the peer has not begun yet.
    pub(crate) fn is_new(&self) -> bool {
        !self.open
    }

    /// Whether the peer has said what it is called.
    pub(crate) fn has_name(&self) -> bool {
        self.client.is_some()
    }
}
