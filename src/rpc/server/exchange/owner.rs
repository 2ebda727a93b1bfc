//! Who the requests of a connection are shown as to operators.

use std::sync::Arc;

use super::Exchange;
use crate::store::{ShareId, share_of};
use crate::watch::Owner;

impl Exchange {
    /// The peer has begun, and has said what it is called, if it has.
    pub(in crate::rpc::server) fn meet(&mut self, client: Option<String>) {
        self.open = true;
        let mut name = self.session.peer().to_string();
        match &client {
            Some(client) => name += &format!(" ({client})"),
            None if self.is_json() => name += " (json)",
            None => {}
        }
        self.client = client;
        // What was proved does not go by what the peer calls itself, nor by when.
        let mut share = self.owner.share;
        if let Some(identity) = self.session.identity() {
            name += &format!(" as {}", identity.name);
            share = share_of(&identity.name);
        }
        self.rename_owner(name, share);
    }

    pub(super) fn rename_owner(&mut self, name: String, share: ShareId) {
        let buffered = Arc::clone(&self.owner.buffered);
        self.owner = Arc::new(Owner { id: self.owner.id, name, share, buffered });
    }

    /// Whether the peer has not begun yet.
    pub(in crate::rpc::server) fn is_new(&self) -> bool {
        !self.open
    }

    /// Whether the peer has said what it is called.
    pub(in crate::rpc::server) fn has_name(&self) -> bool {
        self.client.is_some()
    }
}
