//! [`Connection`]: a raw connection of a load: whole batches out, frames in, nothing else.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use wakeful::Error;
use wakeful::rpc::codec::BODY_BYTES_LIMIT;
use wakeful::rpc::frame::{self, Header};

use super::caller::{broken, lost};
use super::wire::Wire;

/// Bytes that one read may take; one such buffer serves all connections of a thread.
pub(super) const SCRATCH_BYTES: usize = 256 * 1024;

/// A connection past its handshake, without blocking.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Wire<TcpStream>,
    /// The output to be written; callers append whole frames.
    pub(super) output: Vec<u8>,
    /// The number of bytes of `output` that are written.
    written: usize,
    /// The start of an incomplete frame; usually empty.
    rest: Vec<u8>,
}

impl Connection {
    /// Takes over a blocking socket, from which `rest` was read and not consumed.
    pub(super) fn new(mut socket: Wire<std::net::TcpStream>, rest: Vec<u8>) -> Result<Self, Error> {
        socket.socket().set_nonblocking(true).map_err(lost)?;
        let socket = socket.map(TcpStream::from_std);
        Ok(Self { socket, output: Vec::new(), written: 0, rest })
    }

    /// Reports readiness to `registry` as `token`.
    pub(super) fn register(&mut self, registry: &Registry, token: usize) -> Result<(), Error> {
        registry
            .register(self.socket.socket(), Token(token), Interest::READABLE | Interest::WRITABLE)
            .map_err(lost)
    }

    /// Writes as much of `output` as the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        while let Some(left) = self.output.get(self.written..).filter(|left| !left.is_empty()) {
            match self.socket.write(left) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(error)),
            }
        }
        self.output.clear();
        self.written = 0;
        match self.socket.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(lost(error)),
            _ => Ok(()),
        }
    }

    /// Reads the available bytes; `consume` gets them, and returns how many it consumed.
    pub(super) fn receive(
        &mut self,
        scratch: &mut [u8],
        mut consume: impl FnMut(&[u8], &mut Vec<u8>) -> Result<usize, Error>,
    ) -> Result<(), Error> {
        loop {
            let count = match self.socket.read(scratch) {
                Ok(0) => return Err(lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(lost(error)),
            };
            let fresh = scratch.get(..count).unwrap_or_default();
            if self.rest.is_empty() {
                let taken = consume(fresh, &mut self.output)?;
                self.rest.extend_from_slice(fresh.get(taken..).unwrap_or_default());
            } else {
                self.rest.extend_from_slice(fresh);
                let taken = consume(&self.rest, &mut self.output)?;
                self.rest.drain(..taken);
            }
            // A short read has emptied the socket; the next byte is a new event.
            if self.socket.is_plain() && count < scratch.len() {
                return Ok(());
            }
        }
    }
}

/// Passes each complete frame of `bytes` to `on_frame`; returns their total size.
pub(super) fn frames(
    bytes: &[u8],
    mut on_frame: impl FnMut(Header, &[u8]) -> Result<(), Error>,
) -> Result<usize, Error> {
    let mut left = bytes;
    while let Some((header, body, rest)) =
        frame::split(left, BODY_BYTES_LIMIT).map_err(|error| broken(&error.to_string()))?
    {
        on_frame(header, body)?;
        left = rest;
    }
    Ok(bytes.len() - left.len())
}
