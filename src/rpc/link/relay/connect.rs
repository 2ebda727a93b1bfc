//! `Wakeful.Connect`: the call by which a JSON client says which server it means.

use serde_json::Value;
use serde_json::value::RawValue;

use super::route::in_words;
use crate::error::{Error, ErrorCode};
use crate::rpc::json::Envelope;

/// What a JSON client says first.
pub(super) enum First {
    /// The server it means, the id of the call as JSON, and how many bytes the call is.
    Connect { server: String, id: String, used: usize },
    /// A call that means to name a server, and names none.
    Unclear { id: String, why: Error },
    /// Another call, or something that is no JSON, which the server will say.
    Other { id: Option<String> },
    /// The start of a call.
    Partial,
}

/// Reads the first call.
pub(super) fn read(received: &[u8]) -> First {
    let mut values = serde_json::Deserializer::from_slice(received).into_iter::<&RawValue>();
    let call = match values.next() {
        Some(Ok(call)) => call.get(),
        Some(Err(error)) if !error.is_eof() => return First::Other { id: None },
        Some(Err(_)) | None => return First::Partial,
    };
    let Some(envelope) = Envelope::read(call.as_bytes()) else { return First::Other { id: None } };
    // As it came: it may be a number that would be rounded.
    let id = envelope.id.unwrap_or("null").to_owned();
    if envelope.method != "Wakeful.Connect" {
        return First::Other { id: Some(id) };
    }
    match server_of(envelope.params) {
        Some(server) => First::Connect { server, id, used: values.byte_offset() },
        None => {
            let message = "Wakeful.Connect takes {\"server\": NAME}, or {} for the only one; nothing \
                was connected";
            First::Unclear { id, why: Error::new(ErrorCode::InvalidArgument, message) }
        }
    }
}

/// The server that is named, empty for the only one: whoever writes a name in any other way would be
/// connected to a server that was not meant.
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

/// The answer to a call that was understood.
pub(super) fn success(id: &str, server: &str) -> Vec<u8> {
    let server = quoted(server);
    format!("{{\"id\":{id},\"result\":{{\"server\":{server}}},\"error\":null}}\n").into_bytes()
}

/// The answer to a call that names no server there is; to one that is not known, a line.
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
