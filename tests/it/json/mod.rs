//! The JSON door: Go's `net/rpc/jsonrpc` over sockets, and Go itself.

mod dialect;
mod document;
mod ends;
#[cfg(feature = "cli")]
mod go;
mod protocol;
mod seed;
mod watches;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};

use serde_json::Value;

use crate::support::TIMEOUT;

/// A client that writes JSON by hand to a socket.
pub(crate) struct Json<S = TcpStream> {
    socket: S,
    received: Vec<u8>,
    last: u64,
}

impl Json<TcpStream> {
    pub(crate) fn connect(addr: impl ToSocketAddrs) -> Self {
        let socket = TcpStream::connect(addr).expect("the server listens");
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        socket.set_write_timeout(Some(TIMEOUT)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self::over(socket)
    }

    pub(crate) fn shutdown_write(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}

impl<S: Read + Write> Json<S> {
    pub(crate) fn over(socket: S) -> Self {
        Self { socket, received: Vec::new(), last: 0 }
    }

    pub(crate) fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        self.socket.write_all(text.as_ref()).expect("the server reads");
    }

    /// Returns the next line as received.
    pub(crate) fn line(&mut self) -> String {
        self.line_or_end().expect("a line, but the connection ended")
    }

    /// Returns the next line; `None` if the connection ends before it.
    pub(crate) fn line_or_end(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            let mut buffer = [0; 64 * 1024];
            match self.socket.read(&mut buffer) {
                Ok(0) => {
                    assert!(self.received.is_empty(), "it ended inside a line");
                    return None;
                }
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                // The server closes without reading everything if there is nothing more to answer.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing to read: {error}"),
            }
        }
    }

    /// Returns the next reply.
    pub(crate) fn reply(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).expect(&line)
    }

    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.line_or_end(), None);
    }

    /// Sends a call with one argument in JSON; returns its id.
    pub(crate) fn ask(&mut self, method: &str, argument: &str) -> u64 {
        self.last += 1;
        let id = self.last;
        self.send(format!("{{\"method\":\"{method}\",\"params\":[{argument}],\"id\":{id}}}\n"));
        id
    }

    /// Sends a call whose reply must be the next; returns its result and its error.
    pub(crate) fn call(&mut self, method: &str, argument: &str) -> (Value, Value) {
        let id = self.ask(method, argument);
        let reply = self.reply();
        assert_eq!(reply["id"], id, "{reply}");
        assert_eq!(reply.as_object().unwrap().len(), 3, "{reply}");
        assert!(reply["result"].is_null() != reply["error"].is_null(), "{reply}");
        (reply["result"].clone(), reply["error"].clone())
    }

    /// Returns the result of a call that succeeds.
    pub(crate) fn ok(&mut self, method: &str, argument: &str) -> Value {
        let (result, error) = self.call(method, argument);
        assert!(error.is_null(), "{method} {argument}: {error}");
        result
    }

    /// Returns the error of a call that is refused.
    pub(crate) fn refused(&mut self, method: &str, argument: &str) -> String {
        let (result, error) = self.call(method, argument);
        assert!(result.is_null(), "{method} {argument}: {result}");
        error.as_str().expect("errors are strings").to_owned()
    }

    /// Returns a number of the status.
    pub(crate) fn status(&mut self, name: &str) -> u64 {
        self.ok("Wakeful.Status", "{}")[name].as_u64().unwrap()
    }
}
