//! The name under which the requests of a connection are shown to operators.

use std::sync::Arc;

use super::RequestDispatcher;
use crate::fair::ClientId;
use crate::store::client_of_user;
use crate::watch::WatchOwner;

impl RequestDispatcher {
    /// Notes that the peer has begun, with the name it gave itself; without one, `unnamed` describes
    /// it.
    pub(crate) fn meet(&mut self, named: Option<String>, unnamed: &str) {
        self.open = true;
        let mut name = self.session.peer().to_string();
        match &named {
            Some(named) => name += &format!(" ({named})"),
            None => name += unnamed,
        }
        self.client = named;
        // A proved identity takes precedence over the name the peer gives itself, in either order.
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

    /// Returns true until the peer has begun.
    pub(crate) fn is_new(&self) -> bool {
        !self.open
    }

    /// Returns true if the peer gave itself a name.
    pub(crate) fn has_name(&self) -> bool {
        self.client.is_some()
    }
}
