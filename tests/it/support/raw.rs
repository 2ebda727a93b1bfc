//! [`Raw`]: a client that writes bytes by hand to a socket.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::TIMEOUT;
use super::body::{self, Body, Push, Reader, Refusal, Status};

pub(crate) const PREFACE: &[u8; 8] = b"WAKEFUL\x01";

pub(crate) const HELLO: u8 = 1;
pub(crate) const WELCOME: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const REPLY: u8 = 4;
pub(crate) const ERROR: u8 = 5;
pub(crate) const PUSH: u8 = 6;
pub(crate) const CANCEL: u8 = 7;
pub(crate) const CREDIT: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
pub(crate) const GOODBYE: u8 = 11;

/// Returns the bytes of a frame.
pub(crate) fn frame(kind: u8, deadline_ms: u32, id: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&[kind, 1, 0, 0]);
    bytes.extend_from_slice(&deadline_ms.to_le_bytes());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn request(id: u64, body: Body) -> Vec<u8> {
    frame(REQUEST, 0, id, &body.into_bytes())
}

/// Returns a request for this durability.
pub(crate) fn asking(durability: u8, id: u64, body: Body) -> Vec<u8> {
    let mut bytes = request(id, body);
    bytes[6] = durability;
    bytes
}

pub(crate) fn hello(name: &str) -> Vec<u8> {
    frame(HELLO, 0, 0, &Body::new().bytes(name.as_bytes()).bytes(b"").into_bytes())
}

pub(crate) fn credit(stream: u64, bytes: u32) -> Vec<u8> {
    frame(CREDIT, 0, stream, &Body::new().u32(bytes).into_bytes())
}

/// A received frame.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) id: u64,
    /// The durability of a reply.
    pub(crate) durability: u8,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = String::from_utf8_lossy(&self.body[..self.body.len().min(100)]);
        write!(f, "frame of kind {} id {} with {} bytes, ", self.kind, self.id, self.body.len())?;
        write!(f, "{start:?}")
    }
}

impl Frame {
    pub(crate) fn refusal(&self) -> Refusal {
        assert_eq!(self.kind, ERROR, "{self:?}");
        let mut reader = Reader::new(&self.body);
        let refusal = body::refusal(&mut reader);
        reader.end();
        refusal
    }

    pub(crate) fn push(&self) -> Push {
        assert_eq!(self.kind, PUSH, "{self:?}");
        body::read_push(&self.body)
    }

    /// Returns the fields of a reply, which must be this variant.
    pub(crate) fn reply(&self, variant: u32) -> Reader<'_> {
        assert_eq!(self.kind, REPLY, "{self:?}");
        let mut reader = Reader::new(&self.body);
        assert_eq!(reader.u32(), variant, "{self:?}");
        reader
    }
}

pub(crate) struct Raw {
    socket: TcpStream,
    received: Vec<u8>,
    next_id: u64,
}

impl Raw {
    /// Connects, and sends nothing.
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::on(TcpStream::connect(addr).expect("the server listens"))
    }

    /// Connects from another address of this machine.
    pub(crate) fn connect_from(from: IpAddr, addr: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&addr.into()).expect("the server listens");
        Self::on(socket.into())
    }

    fn on(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        socket.set_write_timeout(Some(TIMEOUT)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, received: Vec::new(), next_id: 1 }
    }

    /// Connects, and completes the handshake.
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self::connect(addr).welcome()
    }

    /// Does the same over a connected socket.
    pub(crate) fn over(socket: TcpStream) -> Self {
        Self::on(socket).welcome()
    }

    /// Sends a hello, and reads the welcome.
    pub(crate) fn welcome(mut self) -> Self {
        self.send(&[&PREFACE[..], &hello("raw")].concat());
        self.expect_preface();
        assert_eq!(self.next().kind, WELCOME);
        self
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the server reads");
    }

    /// Sends a request with the next id; returns the id.
    pub(crate) fn ask(&mut self, body: Body) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&request(id, body));
        id
    }

    /// Sends a request and returns its answer, which must be the next frame.
    pub(crate) fn call(&mut self, body: Body) -> Frame {
        let id = self.ask(body);
        let frame = self.next();
        assert_eq!(frame.id, id, "{frame:?}");
        frame
    }

    /// Sets a key; returns the revision.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) -> u64 {
        self.call(body::set(key, value)).reply(0).u64()
    }

    pub(crate) fn status(&mut self) -> Status {
        body::read_status(&self.call(body::status()).body)
    }

    /// Returns the number of bytes that the server keeps for clients that have not read them.
    pub(crate) fn kept(&mut self) -> u64 {
        self.gauge("rpc.total_output_bytes")
    }

    pub(crate) fn gauge(&mut self, name: &str) -> u64 {
        let frame = self.call(Body::request(27));
        let mut reader = frame.reply(27);
        let gauges = reader.list(|reader| (reader.text(), reader.u64()));
        reader.end();
        let kept = gauges.into_iter().find(|(it, _)| it == name);
        kept.expect("it is counted").1
    }

    /// Opens a stream of watches; returns its id.
    pub(crate) fn open_stream(&mut self, window_bytes: u32) -> u64 {
        let frame = self.call(body::stream_open(window_bytes));
        frame.reply(15).end();
        frame.id
    }

    /// Adds a watch; returns the revision.
    pub(crate) fn watch(
        &mut self,
        stream: u64,
        watch_id: u64,
        range: Body,
        from: body::From,
    ) -> u64 {
        self.call(body::watch_add(stream, watch_id, range, from)).reply(16).u64()
    }

    /// Parks a wait; returns its id.
    pub(crate) fn park(&mut self, wait: Body) -> u64 {
        let id = self.ask(wait);
        let frame = self.next();
        assert!(matches!(frame.push(), Push::Parked { .. }), "{frame:?}");
        assert_eq!(frame.id, id);
        id
    }

    pub(crate) fn expect_preface(&mut self) {
        let preface = self.take(PREFACE.len()).expect("a preface");
        assert_eq!(preface, PREFACE);
    }

    /// Returns the next frame.
    pub(crate) fn next(&mut self) -> Frame {
        self.next_or_end().expect("a frame, but the connection ended")
    }

    /// Returns the next frame; `None` if the connection ends before it.
    pub(crate) fn next_or_end(&mut self) -> Option<Frame> {
        let header = self.take(20)?;
        let body_bytes = u32::from_le_bytes(header[..4].try_into().unwrap());
        let (kind, codec, durability) = (header[4], header[5], header[6]);
        assert_eq!((codec, &header[7..12]), (1, &[0; 5][..]), "codec, reserved byte and deadline");
        assert!(durability == 0 || kind == REPLY, "only replies say how durable they are");
        let id = u64::from_le_bytes(header[12..].try_into().unwrap());
        let body = self.take(body_bytes as usize).expect("a body behind the header");
        Some(Frame { kind, id, durability, body })
    }

    /// Returns the error in the next frame, which must concern the connection, and be the last.
    pub(crate) fn refused(&mut self) -> Refusal {
        let frame = self.next();
        assert_eq!((frame.kind, frame.id), (ERROR, 0), "{frame:?}");
        self.expect_end();
        frame.refusal()
    }

    pub(crate) fn expect_end(&mut self) {
        let rest = self.rest();
        let start = &rest[..rest.len().min(100)];
        assert!(rest.is_empty(), "{} bytes follow: {start:?}", rest.len());
    }

    /// Returns the next `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.take(count).expect("so many bytes")
    }

    /// Returns everything until the connection ends.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.received)
    }

    /// Returns the next `count` bytes; `None` if the connection ends at once.
    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.received.len() < count {
            if !self.read_more() {
                let left = self.received.len();
                assert_eq!(
                    left, 0,
                    "the connection ended inside a frame, after {left} bytes of it"
                );
                return None;
            }
        }
        Some(self.received.drain(..count).collect())
    }

    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                count > 0
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                panic!("the connection was reset, which can lose what was sent before")
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) => panic!("nothing to read: {error}"),
        }
    }

    /// Closes the sending side.
    pub(crate) fn shutdown_write(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}

/// Returns the body of a response that every HTTP client can read.
pub(crate) fn http_body(response: &str) -> &str {
    let (head, body) = response.split_once("\r\n\r\n").expect(response);
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("HTTP/1.1 400 Bad Request"), "{response:?}");
    let headers: Vec<_> = lines.map(|line| line.split_once(": ").expect(line)).collect();
    assert!(headers.contains(&("Connection", "close")), "{headers:?}");
    assert!(headers.contains(&("Content-Type", "text/plain; charset=utf-8")), "{headers:?}");
    assert!(body.ends_with('\n') && body.lines().count() == 1, "{body:?}");
    body
}
