//! [`Session`]: the facts about one connection, for as long as it lasts.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// This process.
    Local,
    /// A client connected from this address.
    Tcp(SocketAddr),
    /// A client or server behind the link `name`, which comes from, or goes to, `addr`.
    Link {
        /// The name of the link.
        name: String,
        /// The address of the other end of the link.
        addr: SocketAddr,
    },
}

impl Peer {
    /// Returns the source address of the packets; `None` for this process.
    pub fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Local => None,
            Self::Tcp(addr) | Self::Link { addr, .. } => Some(*addr),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("in process"),
            Self::Tcp(addr) => addr.fmt(f),
            Self::Link { name, addr } => write!(f, "{addr} over {}", name.escape_debug()),
        }
    }
}

/// The proved identity of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user.
    pub name: String,
    /// The proof.
    pub via: Via,
}

/// The kind of proof of an [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Via {
    /// The password of the user.
    Password,
    /// A token of the user.
    Token,
    /// A client certificate in the TLS handshake.
    Certificate,
}

/// The facts about one connection: its peer, its identity, and the state that services keep. It is
/// freed
/// when the connection has closed and nothing else holds it.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
/// use wakeful::Session;
///
/// #[derive(Default)]
/// struct IsLogin(AtomicBool);
///
/// fn login(session: &Session) {
///     session.state::<IsLogin>().0.store(true, Relaxed);
/// }
///
/// fn is_login(session: &Session) -> bool {
///     session.state::<IsLogin>().0.load(Relaxed)
/// }
/// ```
pub struct Session {
    id: u64,
    peer: Peer,
    identity: Mutex<Option<Identity>>,
    state: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Session {
    pub(crate) fn new(id: u64, peer: Peer) -> Self {
        Self { id, peer, identity: Mutex::default(), state: Mutex::default() }
    }

    /// Returns the number of the connection, which a process never reuses; 0 is this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the peer.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Returns the proved identity; `None` before a login, and if there is no login.
    pub fn identity(&self) -> Option<Identity> {
        self.identity.lock().clone()
    }

    /// Returns whether the connection has proved its identity.
    pub(crate) fn is_known(&self) -> bool {
        self.identity.lock().is_some()
    }

    pub(crate) fn set_identity(&self, identity: Option<Identity>) {
        *self.identity.lock() = identity;
    }

    /// Returns the state of type `T` of this connection, created by the first call. All methods of the
    /// connection share it, and may run concurrently.
    pub fn state<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut state = self.state.lock();
        let kept = state.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        // The value under the id of a type is always of that type.
        Arc::clone(kept).downcast().unwrap_or_default()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Session");
        shown.field("id", &self.id).field("peer", &self.peer);
        shown.field("identity", &self.identity()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn n3_state_is_of_one_connection_and_one_type() {
        #[derive(Default)]
        struct Calls(AtomicU32);
        let [one, other] = [1, 2].map(|id| Session::new(id, Peer::Local));
        one.state::<Calls>().0.fetch_add(1, Ordering::Relaxed);
        one.state::<AtomicU32>().fetch_add(5, Ordering::Relaxed);
        let count = |session: &Session| session.state::<Calls>().0.load(Ordering::Relaxed);
        assert_eq!((count(&one), count(&other)), (1, 0));
    }
}
