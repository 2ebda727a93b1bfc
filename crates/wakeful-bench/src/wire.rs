//! [`Wire`]: a socket, blocking or not, with TLS or without.

use std::io::{Read, Result, Write};

use rustls::{ClientConnection, Stream};

#[derive(Debug)]
pub(super) enum Wire<S> {
    Plain(S),
    Tls(Box<ClientConnection>, S),
}

impl<S> Wire<S> {
    pub(super) fn socket(&mut self) -> &mut S {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(_, socket) => socket,
        }
    }

    /// The same connection on another kind of socket.
    pub(super) fn map<T>(self, change: impl FnOnce(S) -> T) -> Wire<T> {
        match self {
            Self::Plain(socket) => Wire::Plain(change(socket)),
            Self::Tls(connection, socket) => Wire::Tls(connection, change(socket)),
        }
    }

    /// Returns true if a read that does not fill its buffer has emptied the socket.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl<S: Read + Write> Read for Wire<S> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(connection, socket) => Stream::new(&mut **connection, socket).read(buffer),
        }
    }
}

impl<S: Read + Write> Write for Wire<S> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(connection, socket) => Stream::new(&mut **connection, socket).write(bytes),
        }
    }

    /// Writes the encrypted output that is not yet written.
    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(connection, socket) => Stream::new(&mut **connection, socket).flush(),
        }
    }
}
