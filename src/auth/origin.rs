//! [`LoginOrigin`]: the origin of logins.

use std::net::IpAddr;

use crate::address::network;
use crate::environment::RandomState;
use crate::fair::Sharer;
use crate::session::Peer;

/// The origin of logins whose failures count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum LoginOrigin {
    /// An address; for IPv6 its /64 network, since a host usually has all of it.
    Addr(IpAddr),
    /// Logins behind a link that claim the same user: only the relay knows their addresses, and one
    /// that guesses must not lock out the others. The value is a hash, because a claimed name can
    /// have any length.
    Link(u64),
}

impl Sharer for LoginOrigin {}

impl LoginOrigin {
    /// Returns the origin of a login that claims to be `user`, or shows a token; `None` for this
    /// process.
    pub(super) fn new(peer: &Peer, user: Option<&str>, hasher: &RandomState) -> Option<Self> {
        match peer {
            Peer::Local => None,
            Peer::Tcp(addr) => Some(Self::addr(addr.ip())),
            Peer::Link { name, .. } => Some(Self::Link(hasher.hash_one((name, user)))),
        }
    }

    pub(super) fn addr(addr: IpAddr) -> Self {
        Self::Addr(network(addr))
    }
}
