//! TLS on both sides, by rustls with ring: what makes a [`Socket`](super::socket::Socket) of a TCP
//! socket whose peer has shown who it is.
//!
//! # Layout
//! `config` and `client` are what users set; `pem` reads the files they name. Of the server:
//! `certificates` (what it shows and whom it trusts, replaced while it runs), `door` (what happens
//! between accept and connection), `handshakes` (the thread on which that is computed), `name` (what
//! a client's certificate calls it). `stream` carries the bytes of both; `reason` says in words what
//! went wrong.
//!
//! Never does: decide what a name may do.

mod certificates;
mod client;
mod config;
mod door;
mod handshakes;
mod name;
mod pem;
mod reason;
mod stream;

use std::sync::Arc;

pub use client::{ClientCertificate, ClientTls};
pub(crate) use client::{connect, lost};
pub use config::{ClientCertificates, TlsConfig};
pub use door::TlsDoor;
pub(crate) use door::{Door, DoorLimits, Entered};

#[cfg(feature = "cli")]
pub(crate) use client::{read as read_client, server_name};

use rustls::crypto::CryptoProvider;

/// Bytes of encrypted output that a connection holds at most: what of an answer is on its way while
/// the rest waits where it is counted.
const BUFFER_BYTES: usize = 16 * 1024;

/// The first byte of a TLS connection: a record that holds a handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Named explicitly: which one is the process's default is the embedding app's business.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
