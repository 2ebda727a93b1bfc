//! `Wakeful.Connect`: the call by which a JSON client says which server it means.

use serde_json::Value;

use super::route::in_words;
use crate::error::Error;

/// What a JSON client says first.
pub(super) enum First {
    /// The server it means, the id of the call as JSON, and how many bytes the call is.
    Connect { server: String, id: String, used: usize },
    /// Another call, or something that is no JSON, which the server will say.
    Other { id: Option<String> },
    /// The start of a call.
    Partial,
}

/// Reads the first call.
pub(super) fn read(received: &[u8]) -> First {
    let mut values = serde_json::Deserializer::from_slice(received).into_iter::<Value>();
    let call = match values.next() {
        Some(Ok(call)) => call,
        Some(Err(error)) if !error.is_eof() => return First::Other { id: None },
        Some(Err(_)) | None => return First::Partial,
    };
    let id = call.get("id").unwrap_or(&Value::Null).to_string();
    if call.get("method").and_then(Value::as_str) != Some("Wakeful.Connect") {
        return First::Other { id: Some(id) };
    }
    let argument = call.get("params").and_then(|params| params.get(0));
    let server = argument.and_then(|argument| argument.get("server").or(Some(argument)));
    let server = server.and_then(Value::as_str).unwrap_or_default().to_owned();
    First::Connect { server, id, used: values.byte_offset() }
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
