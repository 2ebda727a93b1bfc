//! `Wakeful.Connect`: the call by which a JSON client selects a server.

use serde_json::Value;
use serde_json::value::RawValue;

use super::route::in_words;
use crate::error::{Error, ErrorCode};
use crate::rpc::json::Envelope;

/// The first message of a JSON client.
pub(super) enum FirstMessage {
    /// The selected server, the id of the call as JSON, and the number of bytes of the call.
    Connect { server: String, id: String, used: usize },
    /// A call that should name a server, but does not.
    Unclear { id: String, why: Error },
    /// Another call, or invalid JSON, which the server will refuse.
    Other { id: Option<String> },
    /// The start of a call.
    Partial,
}

/// Reads the first call.
pub(super) fn read(received: &[u8]) -> FirstMessage {
    let mut values = serde_json::Deserializer::from_slice(received).into_iter::<&RawValue>();
    let call = match values.next() {
        Some(Ok(call)) => call.get(),
        Some(Err(error)) if !error.is_eof() => return FirstMessage::Other { id: None },
        Some(Err(_)) | None => return FirstMessage::Partial,
    };
    let Some(envelope) = Envelope::read(call.as_bytes()) else {
        return FirstMessage::Other { id: None };
    };
    // As received: it may be a number that parsing would round.
    let id = envelope.id.unwrap_or("null").to_owned();
    if envelope.method != "Wakeful.Connect" {
        return FirstMessage::Other { id: Some(id) };
    }
    match server_of(envelope.params) {
        Some(server) => FirstMessage::Connect { server, id, used: values.byte_offset() },
        None => {
            let message = "Wakeful.Connect takes {\"server\": NAME}, or {} for the only one; nothing \
                was connected";
            FirstMessage::Unclear { id, why: Error::new(ErrorCode::InvalidArgument, message) }
        }
    }
}

/// Returns the named server, empty for the only one. Refuses any other form, which could connect to
/// a server that was not meant.
fn server_of(params: Option<&str>) -> Option<String> {
    let mut params: Vec<Value> =
        params.map_or(Some(Vec::new()), |it| serde_json::from_str(it).ok())?;
    params.truncate(1);
    match params.pop() {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::String(server)) => Some(server),
        Some(Value::Object(members)) => match members.into_iter().collect::<Vec<_>>().as_slice() {
            [] => Some(String::new()),
            [(name, Value::String(server))] if name.eq_ignore_ascii_case("server") => {
                Some(server.clone())
            }
            _ => None,
        },
        Some(_) => None,
    }
}

/// Returns the answer to a successful call.
pub(super) fn success(id: &str, server: &str) -> Vec<u8> {
    let server = quoted(server);
    format!("{{\"id\":{id},\"result\":{{\"server\":{server}}},\"error\":null}}\n").into_bytes()
}

/// Returns the answer to a call that names an unknown server; a line, if the call's id is unknown.
pub(super) fn failure(id: Option<&str>, error: &Error) -> Vec<u8> {
    let said = format!("{}: {}", error.code, in_words(error));
    match id {
        Some(id) => {
            let said = quoted(&said);
            format!("{{\"id\":{id},\"result\":null,\"error\":{said}}}\n").into_bytes()
        }
        None => format!("ERR wakeful: {said}\n").into_bytes(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
