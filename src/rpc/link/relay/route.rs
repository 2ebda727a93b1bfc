//! [`Route`]: the server that a client selects, read from its first message.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::connect;
use crate::config::SERVER_NAME_BYTES_MAX;
use crate::error::{Details, Error, ErrorCode};
use crate::rpc::codec::{CodecError, decode, encode_frame};
use crate::rpc::frame::{Kind, PREFACE, split};
use crate::rpc::json::ConnectionStart;
use crate::rpc::proto::{WireError, WireHello};
use crate::rpc::server::{HELLO_BYTES_MAX, is_undecided, not_wakeful};

/// The server that a client selects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The server's name; empty for the only one.
    pub(super) server: String,
    /// The bytes read so far that belong to the server.
    pub(super) forward: Vec<u8>,
    /// The answer to the client once the server is connected.
    pub(super) answer: Vec<u8>,
    protocol: ClientProtocol,
}

#[derive(Debug, PartialEq, Eq)]
enum ClientProtocol {
    Native,
    /// JSON, with the id of the call that selected the server, if any.
    Json(Option<String>),
}

/// The last message to a client whose request is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RouteRefusal(pub(super) Vec<u8>);

impl Route {
    /// Returns the answer to a client whose server is not connected.
    pub(super) fn refusal(&self, error: &Error) -> Vec<u8> {
        match &self.protocol {
            ClientProtocol::Native => refusal(error),
            ClientProtocol::Json(id) => connect::failure(id.as_deref(), error),
        }
    }
}

/// Reads enough to determine the selected server: a preface and a hello, or a JSON call.
pub(super) async fn read_route(
    socket: &mut (impl AsyncRead + Unpin),
    json_bytes_max: usize,
) -> Result<Route, RouteRefusal> {
    let mut received = BytesMut::new();
    loop {
        if let Some(found) = understand(&received, json_bytes_max) {
            return found;
        }
        // The size of the longest hello or call.
        let room = (PREFACE.len() + 20 + HELLO_BYTES_MAX).max(json_bytes_max) + 1;
        let left = room.saturating_sub(received.len()).max(1) as u64;
        match socket.take(left).read_buf(&mut received).await {
            Ok(1..) => {}
            // A client that has gone needs no answer.
            Ok(0) | Err(_) => return Err(RouteRefusal(Vec::new())),
        }
    }
}

/// Parses `received`; returns `None` while it is incomplete.
fn understand(received: &[u8], json_bytes_max: usize) -> Option<Result<Route, RouteRefusal>> {
    match ConnectionStart::of(received) {
        ConnectionStart::Json => return json(received, json_bytes_max),
        ConnectionStart::Space if received.len() <= HELLO_BYTES_MAX => return None,
        ConnectionStart::Space | ConnectionStart::Other => {}
    }
    let start = received.get(..PREFACE.len()).unwrap_or(received);
    if is_undecided(start) {
        return None;
    }
    if !PREFACE.starts_with(start) {
        return Some(Err(RouteRefusal(not_wakeful(start).into())));
    }
    let frames = received.get(PREFACE.len()..)?;
    native(frames, received).transpose()
}

fn native(frames: &[u8], received: &[u8]) -> Result<Option<Route>, RouteRefusal> {
    let broken = |message: &str| {
        let message = format!("{message}; the connection closes");
        RouteRefusal(refusal(&Error::new(ErrorCode::Protocol, message)))
    };
    let whole = split(frames, HELLO_BYTES_MAX).map_err(|error| match error {
        CodecError::TooLarge { .. } => broken("the hello is longer than 1024 bytes"),
        error => broken(&error.to_string()),
    })?;
    let Some((header, body, _)) = whole else { return Ok(None) };
    if header.kind != Kind::Hello {
        return Err(broken("the first frame must be a hello"));
    }
    let WireHello { server, .. } = decode(body).map_err(|error| broken(&error.to_string()))?;
    if server.len() > SERVER_NAME_BYTES_MAX {
        return Err(broken("the server's name is longer than 256 bytes"));
    }
    Ok(Some(Route {
        server: server.to_owned(),
        forward: received.to_vec(),
        answer: Vec::new(),
        protocol: ClientProtocol::Native,
    }))
}

/// Parses a JSON call: `Wakeful.Connect` selects a server; any other call goes to the only one.
fn json(received: &[u8], bytes_max: usize) -> Option<Result<Route, RouteRefusal>> {
    let (server, id, used) = match connect::read(received) {
        connect::FirstMessage::Connect { server, id, used } => (server, Some(id), used),
        connect::FirstMessage::Unclear { id, why } => {
            return Some(Err(RouteRefusal(connect::failure(Some(&id), &why))));
        }
        connect::FirstMessage::Other { id } => (String::new(), id, 0),
        connect::FirstMessage::Partial if received.len() <= bytes_max => return None,
        connect::FirstMessage::Partial => (String::new(), None, 0),
    };
    let answer = match &id {
        Some(id) if used > 0 => connect::success(id, &server),
        _ => Vec::new(),
    };
    let forward = received.get(used..).unwrap_or_default().to_vec();
    Some(Ok(Route { server, forward, answer, protocol: ClientProtocol::Json(id) }))
}

fn refusal(error: &Error) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    // An error is far below any limit of frames.
    let _ = encode_frame(&mut out, Kind::Error, 0, 0, &WireError::from(error), usize::MAX);
    out
}

/// Returns the code and message of a refusal as a string, the only form of errors in this JSON
/// dialect.
pub(super) fn in_words(error: &Error) -> String {
    match &error.details {
        Details::Limit { name, value } => format!("{} ({name} = {value})", error.message),
        _ => error.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(server: &str) -> Vec<u8> {
        let mut out = PREFACE.to_vec();
        let hello = WireHello { client_name: "me", server };
        encode_frame(&mut out, Kind::Hello, 0, 0, &hello, usize::MAX).unwrap();
        out
    }

    async fn route(pieces: &[&[u8]]) -> Result<Route, RouteRefusal> {
        let mut io = tokio_test_io(pieces);
        read_route(&mut io, 256).await
    }

    /// Returns a reader that returns one piece at a time.
    fn tokio_test_io(pieces: &[&[u8]]) -> impl AsyncRead + Unpin {
        let mut all: Box<dyn AsyncRead + Unpin + Send> = Box::new(tokio::io::empty());
        for piece in pieces.iter().rev() {
            all = Box::new(std::io::Cursor::new(piece.to_vec()).chain(all));
        }
        all
    }

    #[tokio::test]
    async fn l5_a_hello_names_the_server_and_is_forwarded_as_it_came() {
        let said = [hello("edge"), b"more".to_vec()].concat();
        for at in 0..said.len() {
            let found = route(&[&said[..at], &said[at..]]).await.unwrap();
            assert_eq!(found.server, "edge");
            assert_eq!(found.forward, said[..found.forward.len()]);
            assert!(found.answer.is_empty());
        }
    }

    #[tokio::test]
    async fn l5_what_is_no_hello_is_refused_at_once() {
        let text = |refusal: RouteRefusal| String::from_utf8_lossy(&refusal.0).into_owned();
        let http = route(&[b"GET / HTTP/1.1\r\n"]).await.unwrap_err();
        assert!(text(http).starts_with("HTTP/1.1 400 "));
        let link = route(&[b"WAKELNK\x01"]).await.unwrap_err();
        assert!(text(link).contains("accepting on"));
        let long = [&PREFACE[..], &[0, 16, 0, 0, 1, 1], &[0; 14]].concat();
        assert!(text(route(&[&long]).await.unwrap_err()).contains("1024"));
        let request = [&PREFACE[..], &[0, 0, 0, 0, 3, 1], &[0; 14]].concat();
        assert!(text(route(&[&request]).await.unwrap_err()).contains("hello"));
        let long = hello(&"x".repeat(257));
        assert!(text(route(&[&long]).await.unwrap_err()).contains("256"));
        assert_eq!(route(&[b"WAKE"]).await, Err(RouteRefusal(Vec::new())));
    }

    #[tokio::test]
    async fn l5_who_names_a_server_in_some_other_way_is_connected_to_none() {
        for argument in [r#"{"sever":"edge"}"#, r#"{"server":5}"#, r#"{"server":"a","b":1}"#, "[1]"]
        {
            let connect =
                format!(r#"{{"method":"Wakeful.Connect","params":[{argument}],"id":[1,2]}}"#);
            let RouteRefusal(said) = route(&[connect.as_bytes()]).await.unwrap_err();
            let said = String::from_utf8(said).unwrap();
            let start = r#"{"id":[1,2],"result":null,"error":"InvalidArgument: "#;
            assert!(said.starts_with(start), "{said}");
        }
    }

    #[tokio::test]
    async fn l5_a_json_client_names_the_server_by_its_first_call() {
        let connect = br#"{"method":"Wakeful.Connect","params":[{"server":"edge"}],"id":7}"#;
        for at in 1..connect.len() {
            let found = route(&[&connect[..at], &connect[at..], b"\n{\"method\""]).await.unwrap();
            assert_eq!((&*found.server, found.forward.is_empty()), ("edge", true));
            let spaced = route(&[b"\n", b" \t", &connect[..at], &connect[at..]]).await.unwrap();
            assert_eq!((&*spaced.server, spaced.forward.is_empty()), ("edge", true));
            assert_eq!(
                found.answer,
                b"{\"id\":7,\"result\":{\"server\":\"edge\"},\"error\":null}\n"
            );
            let error = Error::new(ErrorCode::NoSuchServer, "no server edge");
            let said = String::from_utf8(found.refusal(&error)).unwrap();
            assert_eq!(
                said,
                "{\"id\":7,\"result\":null,\"error\":\"NoSuchServer: no server edge\"}\n"
            );
        }
        let only = br#"{"Method":"Wakeful.Connect","params":[{}],"id":18446744073709551616}"#;
        let found = route(&[only]).await.unwrap();
        assert_eq!(&*found.server, "");
        assert!(found.answer.starts_with(b"{\"id\":18446744073709551616,"));
        let get = br#"{"method":"KVStoreService.Get","params":["a"],"id":"x"}"#;
        let found = route(&[get]).await.unwrap();
        assert_eq!((&*found.server, &*found.forward), ("", &get[..]));
        let long = [br#"{"method":"KVStoreService.Set","params":[[""#, &[b'a'; 400][..]].concat();
        let found = route(&[&long]).await.unwrap();
        assert_eq!((&*found.server, &*found.forward), ("", &long[..found.forward.len()]));
    }
}
