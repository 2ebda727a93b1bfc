//! [`Caller`]: a blocking connection with one request at a time, and the start of every other
//! connection.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::OnceLock;
use std::time::Duration;

use wakeful::internals::wire::{self, RequestBody};
use wakeful::rpc::codec::BODY_BYTES_LIMIT;
use wakeful::rpc::frame::{self, Header, Kind, PREFACE};
use wakeful::{Credentials, Error, ErrorCode, HubRequest, KvRequest, Reply, Request, StatusReply};

use super::connection::Connection;
use super::loaded_server::LoadedServer;
use super::wire::Wire;

/// No answer for this long ends the run: a benchmark of a server that hangs has no result.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// The login of every connection of the run.
static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();

/// Sets the login of every connection of the run.
pub(super) fn log_in_with(credentials: Credentials) {
    // There is one run per process.
    let _ = CREDENTIALS.set(credentials);
}

/// A blocking connection, past its handshake.
#[derive(Debug)]
pub(super) struct Caller {
    socket: Wire<TcpStream>,
    /// Bytes received and not yet consumed.
    input: Vec<u8>,
    next_id: u64,
}

impl Caller {
    /// Connects, sends preface and hello, and awaits those of the server.
    pub(super) fn connect(server: &LoadedServer) -> Result<Self, Error> {
        let socket = server.dial()?;
        let mut caller = Self { socket, input: Vec::new(), next_id: 1 };
        let mut hello = Vec::new();
        wire::encode_hello(&mut hello, "bench")?;
        caller.write(&hello)?;
        while caller.input.len() < PREFACE.len() {
            caller.fill()?;
        }
        if !caller.input.starts_with(&PREFACE) {
            let said = String::from_utf8_lossy(&caller.input).into_owned();
            return Err(broken(&format!("the peer does not speak the protocol: {said:?}")));
        }
        caller.input.drain(..PREFACE.len());
        match caller.receive()? {
            (Header { kind: Kind::Welcome, .. }, _) => caller.log_in(),
            (header, body) => Err(refusal(&header, &body)),
        }
    }

    fn log_in(mut self) -> Result<Self, Error> {
        if let Some(credentials) = CREDENTIALS.get() {
            let id = self.send(&RequestBody::login(credentials.clone()))?;
            self.answer(id)?;
        }
        Ok(self)
    }

    /// Executes one request of the store.
    pub(super) fn request(&mut self, request: impl Into<Request>) -> Result<Reply, Error> {
        let id = self.send(&RequestBody::from(request))?;
        wire::decode_reply(&self.answer(id)?)
    }

    /// Returns the status of the store.
    pub(super) fn status(&mut self) -> Result<StatusReply, Error> {
        match self.request(HubRequest::Status)? {
            Reply::Status(status) => Ok(*status),
            _ => Err(broken("a reply that does not fit its request")),
        }
    }

    /// Sends `requests` in one write, and awaits all their replies.
    pub(super) fn pipeline(
        &mut self,
        requests: impl Iterator<Item = KvRequest>,
    ) -> Result<(), Error> {
        let mut output = Vec::new();
        let mut awaiting = 0;
        for request in requests {
            RequestBody::from(request).encode(&mut output, self.next_id)?;
            self.next_id += 1;
            awaiting += 1;
        }
        self.write(&output)?;
        while awaiting > 0 {
            match self.receive()? {
                (Header { kind: Kind::Reply, .. }, _) => awaiting -= 1,
                (header, body) => return Err(refusal(&header, &body)),
            }
        }
        Ok(())
    }

    /// Sends `call`; returns the id of its answer.
    pub(super) fn send(&mut self, call: &RequestBody) -> Result<u64, Error> {
        let id = self.next_id;
        self.next_id += 1;
        let mut output = Vec::new();
        call.encode(&mut output, id)?;
        self.write(&output)?;
        Ok(id)
    }

    /// Sends a ping without awaiting its pong.
    pub(super) fn ping(&mut self) -> Result<(), Error> {
        let ping = Header::bare(Kind::Ping, 1).encode();
        self.write(&ping)
    }

    /// Awaits the reply to the request with `id`, and returns its body.
    pub(super) fn answer(&mut self, id: u64) -> Result<Vec<u8>, Error> {
        match self.receive()? {
            (header, body) if header.kind == Kind::Reply && header.id == id => Ok(body),
            (header, body) => Err(refusal(&header, &body)),
        }
    }

    /// Converts the connection to a non-blocking one.
    pub(super) fn into_connection(self) -> Result<Connection, Error> {
        Connection::new(self.socket, self.input)
    }

    /// Returns the next frame that is not a ping; answers pings.
    fn receive(&mut self) -> Result<(Header, Vec<u8>), Error> {
        loop {
            let split = frame::split(&self.input, BODY_BYTES_LIMIT);
            let split = split.map_err(|error| broken(&error.to_string()))?;
            let Some((header, body, rest)) = split else {
                self.fill()?;
                continue;
            };
            let (body, rest) = (body.to_vec(), rest.len());
            self.input.drain(..self.input.len() - rest);
            if header.kind == Kind::Ping {
                let pong = Header::bare(Kind::Pong, header.id).encode();
                self.write(&pong)?;
                continue;
            }
            return Ok((header, body));
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.socket.write_all(bytes).and_then(|()| self.socket.flush()).map_err(lost)
    }

    fn fill(&mut self) -> Result<(), Error> {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(0) => Err(lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.input.extend_from_slice(bytes.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }
}

/// Returns a blocking socket to `addr` with [`TIMEOUT`].
pub(super) fn dial(addr: &str) -> Result<TcpStream, Error> {
    let unreachable = |error: io::Error| {
        Error::new(ErrorCode::Unreachable, format!("no server answers at {addr}: {error}"))
    };
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for resolved in addr.to_socket_addrs().map_err(unreachable)? {
        match TcpStream::connect_timeout(&resolved, TIMEOUT) {
            Ok(socket) => {
                socket.set_nodelay(true).map_err(unreachable)?;
                socket.set_read_timeout(Some(TIMEOUT)).map_err(unreachable)?;
                socket.set_write_timeout(Some(TIMEOUT)).map_err(unreachable)?;
                return Ok(socket);
            }
            Err(error) => failed = error,
        }
    }
    Err(unreachable(failed))
}

/// Returns the error for a failed socket.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn lost(error: io::Error) -> Error {
    Error::new(ErrorCode::Unavailable, format!("the connection was lost: {error}"))
}

/// Returns the error for a peer that violates the protocol.
pub(super) fn broken(what: &str) -> Error {
    Error::new(ErrorCode::Protocol, what)
}

/// Returns the error for another frame than a reply.
pub(super) fn refusal(header: &Header, body: &[u8]) -> Error {
    match header.kind {
        Kind::Error => wire::decode_error(body),
        Kind::Goodbye => Error::new(ErrorCode::Unavailable, "the server is stopping"),
        kind => broken(&format!("a {kind:?} frame where a reply was due")),
    }
}
