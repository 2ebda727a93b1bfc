//! TLS for both sides, with rustls and ring: makes a [`Socket`](super::socket::Socket) of a TCP
//! socket whose peer has proved its identity. It does not decide what a name may do.
//!
//! # Layout
//!
//! `config` and `client` are the settings; `pem` reads the files that they name. On the server:
//! `certificates` (what it presents and whom it trusts, replaced while it runs), `listener` (between
//! accept and connection), `handshakes` (the thread that computes them), `name` (the name in a
//! client's certificate). `stream` carries the bytes of both sides; `reason` describes failures in
//! words.
//!
//! # Design
//!
//! - **Between accept and connection** (`listener`): the port peeks at the first byte, to answer a
//!   peer without TLS in its own protocol, and runs the handshake. What is left of
//!   `rpc.handshake_timeout` applies to the connection. A peer counts as a connection from the
//!   accept on.
//! - **Handshakes run elsewhere** (`handshakes`): the future is polled on a thread of the port's
//!   own, while the socket stays with the runtime that accepted it. Signatures and key exchange
//!   take as long as hundreds of requests; the encryption that follows does not, and stays with
//!   the connection.
//! - **Nothing is held back** (`stream`): tokio-rustls reports bytes as written when they are
//!   encrypted, and needs a flush. This stream reports them when the socket has them, so that the
//!   limit and the deadline of the output mean the peer. A read takes all available records, so
//!   that a batch stays a batch.
//! - **Certificates** (`certificates`) are one `Arc`, which a connection takes at its start and a
//!   reload replaces. Files are compared by content every few seconds: a file system watch misses
//!   files that are linked or mounted again, which is how they change in practice.
//! - **No resumption:** connections are long, and a resumed one would bypass the current trust.
//! - A client trusts the roots of the system, not a compiled-in list, which would age with the
//!   binary. If a CA file is named, only its CAs are trusted.

#[cfg(feature = "server")]
mod certificates;
mod client;
#[cfg(feature = "server")]
mod config;
#[cfg(feature = "server")]
mod handshakes;
#[cfg(feature = "server")]
mod listener;
#[cfg(feature = "server")]
mod name;
mod pem;
mod reason;
mod stream;

use std::sync::Arc;

#[cfg(feature = "server")]
pub(crate) use certificates::Certificates;
pub(crate) use client::{connect, lost};
#[cfg(feature = "server")]
pub use config::{ClientCertificates, TlsConfig};
#[cfg(feature = "server")]
pub use listener::TlsListener;
#[cfg(feature = "server")]
pub(crate) use listener::{AcceptedPeer, HandshakeLimits, TlsHandshaker};

#[cfg(any(test, feature = "internals"))]
pub(crate) use client::{read as read_client, server_name};

use rustls::crypto::CryptoProvider;

/// Maximum encrypted output that a connection holds, bytes: the part of an answer in flight, while
/// the rest waits where it is counted.
const BUFFER_BYTES: usize = 16 * 1024;

/// The first byte of a TLS connection: a record that holds a handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Named explicitly: the process's default provider belongs to the embedding application.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
