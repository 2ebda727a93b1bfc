//! [`Session`]: what is known of one connection, for as long as it lasts.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// This process.
    Local,
    /// Whoever connected from this address.
    Tcp(SocketAddr),
    /// Whoever is behind the link `name`, which comes from, or goes to, `addr`.
    Link {
        /// What the link is called.
        name: String,
        /// Of the other end of the link.
        addr: SocketAddr,
    },
}

impl Peer {
    /// Where the packets come from; `None` for this process.
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

/// Who a connection has proved to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user.
    pub name: String,
    /// What the proof was.
    pub via: Via,
}

/// What an [`Identity`] was proved by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Via {
    /// The password of the user.
    Password,
    /// A token of the user.
    Token,
    /// A client certificate, at the TLS handshake.
    Certificate,
}

/// What is known of one connection: who is there, and whatever services keep. It is freed when the
/// connection has closed and nobody holds it any more.
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

    /// The number of the connection: never given twice by a process; 0 is this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Who it has proved to be; `None` before a login, and where there is none.
    pub fn identity(&self) -> Option<Identity> {
        self.identity.lock().clone()
    }

    /// Whether the connection has proved who it is.
    pub(crate) fn is_known(&self) -> bool {
        self.identity.lock().is_some()
    }

    pub(crate) fn set_identity(&self, identity: Option<Identity>) {
        *self.identity.lock() = identity;
    }

    /// The state of type `T` of this connection, made at the first call. All methods of the
    /// connection share it, and may run at once.
    pub fn state<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut state = self.state.lock();
        let kept = state.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        // What is kept under the id of a type is of that type.
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
