//! [`Origin`]: where logins come from.

use std::net::{IpAddr, Ipv6Addr};

use crate::environment::RandomState;

use crate::session::Peer;

/// Where logins come from whose failures count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Origin {
    /// An address; of IPv6, whoever has one has all of its /64.
    Addr(IpAddr),
    /// Those behind a link that say to be the same user: their addresses are known to the relay alone,
    /// and one that guesses is not to keep out all the others. It is a hash, as names are as long as
    /// strangers like.
    Link(u64),
}

impl Origin {
    /// Of whoever says to be `user`, or shows a token; `None` for this process.
    pub(super) fn new(peer: &Peer, user: Option<&str>, hasher: &RandomState) -> Option<Self> {
        match peer {
            Peer::Local => None,
            Peer::Tcp(addr) => Some(Self::addr(addr.ip())),
            Peer::Link { name, .. } => Some(Self::Link(hasher.hash_one((name, user)))),
        }
    }

    pub(super) fn addr(addr: IpAddr) -> Self {
        Self::Addr(match addr.to_canonical() {
            IpAddr::V6(addr) => {
                let [a, b, c, d, ..] = addr.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            addr => addr,
        })
    }
}
