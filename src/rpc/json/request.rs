//! [`JsonRequest`]: a request in a JSON object, converted to the internal form.

use std::time::Instant;

use smallvec::SmallVec;

use super::envelope::{Envelope, raw_argument};
use super::node::NODE_BYTES;
use super::{Shape, kv_store_service, methods};
use crate::config::RpcConfig;
use crate::config::services::NAME_BYTES_MAX;
use crate::error::Error;
use crate::model::{Blob, Invocation, Payload, Request, RpcCall, WatchRequest};
use crate::nearest::hint;

/// The text of an id, which is echoed unchanged.
pub(crate) type IdText = SmallVec<[u8; 16]>;

/// A request with the id its client gave it.
#[derive(Debug)]
pub(crate) struct JsonRequest {
    pub(crate) id: IdText,
    pub(crate) what: JsonCall,
    /// True if it is served, or refused for its form, before a login.
    pub(crate) for_strangers: bool,
}

/// The content of a request.
#[derive(Debug)]
pub(crate) enum JsonCall {
    /// A request of the native protocol, and the form of its answer.
    Call {
        call: Result<RpcCall, Error>,
        deadline: Option<Instant>,
        shape: Shape,
    },
    /// A refused request, with the reason.
    Refused(String),
    /// A method of another service without any params; if the method does not exist, the answer is
    /// Go's.
    NoParams(String),
    /// The name of a client, for operators.
    Hello(String),
    Ping,
    Goodbye,
    /// Cancels the requests with this id.
    Cancel(IdText),
    WatchOpen(WatchRequest),
    /// Requests the next items of the watch with this number.
    WatchNext(u64),
    WatchClose(u64),
}

/// The limits of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLimits {
    id_bytes_max: usize,
    nodes_max: usize,
}

impl RequestLimits {
    pub(crate) fn of(config: &RpcConfig) -> Self {
        let nodes_max = config.frame_bytes_max / NODE_BYTES;
        Self { id_bytes_max: config.json_id_bytes_max, nodes_max }
    }
}

/// The answer to a request of JSON-RPC 2.0 that cannot be read as one of 1.0.
const NOT_VERSION_2: &str = "InvalidArgument: this port speaks JSON-RPC 1.0, as Go's net/rpc/jsonrpc does, not \
     2.0: params is a list with one argument, as in {\"method\":\"Wakeful.Get\",\"params\":\
     [{\"key\":\"greeting\"}],\"id\":1}, and the answer has id, result and error; see the JSON chapter of \
     docs/protocol.md";

/// The methods served before a login.
const FOR_STRANGERS: [&str; 4] =
    ["Wakeful.Hello", "Wakeful.Ping", "Wakeful.Login", "KVStoreService.Login"];

/// Parses one JSON object that was read at `now`.
///
/// # Errors
///
/// The reason why it cannot be answered at all: it is not JSON, or its id is too long.
pub(crate) fn understand(
    value: &[u8],
    now: Instant,
    limits: RequestLimits,
) -> Result<JsonRequest, &'static str> {
    let Some(envelope) = Envelope::read(value) else { return Err("malformed JSON") };
    let id = envelope.id.unwrap_or("null").as_bytes();
    if id.len() > limits.id_bytes_max {
        return Err("an id longer than rpc.json_id_bytes_max");
    }
    let id = IdText::from_slice(id);
    let for_strangers = FOR_STRANGERS.contains(&&*envelope.method);
    Ok(JsonRequest { id, what: dispatch(envelope, now, limits), for_strangers })
}

fn dispatch(envelope: Envelope<'_>, now: Instant, limits: RequestLimits) -> JsonCall {
    let Envelope { method: name, params, has_version, .. } = envelope;
    if has_version && params.is_some_and(|params| !params.starts_with('[')) {
        return JsonCall::Refused(NOT_VERSION_2.to_owned());
    }
    let understood = match name.rsplit_once('.') {
        // In Go's own words, here and below.
        None => Err(format!("rpc: service/method request ill-formed: {name}")),
        Some(("KVStoreService", method)) => {
            let understood = kv_store_service::understand(method, params);
            let no_method = || no_method_among(&name, method, kv_store_service::METHODS);
            understood.unwrap_or_else(|| Err(no_method()))
        }
        Some(("Wakeful", method)) => {
            let understood = methods::understand(method, params, now, limits.nodes_max);
            understood.unwrap_or_else(|| Err(no_method_among(&name, method, methods::names())))
        }
        Some(_) if params.is_none() => Ok(JsonCall::NoParams(name.into_owned())),
        Some(_) => invoke(name.into_owned(), params),
    };
    understood.unwrap_or_else(JsonCall::Refused)
}

/// Returns a call of a method of a service registered by the application.
fn invoke(method: String, params: Option<&str>) -> Result<JsonCall, String> {
    let argument = raw_argument(params).map_err(|error| error.to_string())?;
    let argument = Payload::Json(Blob::from(argument));
    let shape = Shape::Invoke(method.clone().into());
    let call = RpcCall::from(Request::Invoke(Invocation { method, argument }));
    Ok(JsonCall::Call { call: Ok(call), deadline: None, shape })
}

pub(super) fn no_method(name: &str) -> String {
    format!("rpc: can't find method {name}")
}

pub(super) fn no_service(name: &str) -> String {
    format!("rpc: can't find service {name}")
}

/// Refuses a method of a service with `known` methods, and suggests the nearest.
pub(crate) fn no_method_among(
    name: &str,
    method: &str,
    known: impl IntoIterator<Item = impl AsRef<str>>,
) -> String {
    let known: Vec<_> = known.into_iter().collect();
    // A name of hostile length resembles no method.
    let near = method.len() <= NAME_BYTES_MAX;
    let hint = if near { hint(method, known.iter().map(AsRef::as_ref)) } else { String::new() };
    format!("{}{hint}", no_method(name))
}

/// Returns a request whose answer has a form of its own.
pub(super) fn plain(request: impl Into<Request>, shape: Shape) -> JsonCall {
    JsonCall::Call { call: Ok(RpcCall::from(request.into())), deadline: None, shape }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::model::{KvRequest, SetRequest, WaitRequest};

    fn ask(text: &str) -> JsonRequest {
        let limits = RequestLimits::of(&Config::new().rpc);
        understand(text.as_bytes(), Instant::now(), limits).unwrap()
    }

    fn refusal(text: &str) -> String {
        match ask(text).what {
            JsonCall::Refused(refusal) => refusal,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn g2_what_there_is_not_is_told_in_gos_words() {
        for (text, expected) in [
            (r#"{"method":"Get"}"#, "rpc: service/method request ill-formed: Get"),
            ("{}", "rpc: service/method request ill-formed: "),
            (r#"{"method":"KVStoreService.Nope"}"#, "rpc: can't find method KVStoreService.Nope"),
            (
                r#"{"method":"Wakeful.set"}"#,
                "rpc: can't find method Wakeful.set; did you mean `Set`?",
            ),
            (
                r#"{"method":"Wakeful.JobPsuh","params":[{}]}"#,
                "rpc: can't find method Wakeful.JobPsuh; did you mean `JobPush`?",
            ),
            (
                r#"{"method":"KVStoreService.Wacth","params":[1]}"#,
                "rpc: can't find method KVStoreService.Wacth; did you mean `Watch`?",
            ),
            (r#"{"method":"KVStoreService.Get"}"#, "jsonrpc: request body missing params"),
            (r#"{"method":"Wakeful.Get","params":null}"#, "jsonrpc: request body missing params"),
            (r#"{"method":"KVStoreService.Get","params":[""]}"#, "not found"),
        ] {
            assert_eq!(refusal(text), expected);
        }
        let wrong = refusal(r#"{"method":"KVStoreService.Get","params":[5]}"#);
        assert!(
            wrong.starts_with("jsonrpc: invalid type: integer `5`, expected a string"),
            "{wrong}"
        );
        let other = ask(r#"{"method":"a.b.c","id":"x"}"#);
        assert!(matches!(&other.what, JsonCall::NoParams(name) if name == "a.b.c"));
        assert_eq!(&*other.id, b"\"x\"");
    }

    #[test]
    fn g2_json_rpc_2_is_told_what_to_send() {
        for params in [r#"{"key":"a"}"#, "5"] {
            let request =
                format!(r#"{{"jsonrpc":"2.0","method":"Wakeful.Get","params":{params},"id":1}}"#);
            let said = refusal(&request);
            assert!(said.contains("not 2.0") && said.contains("\"params\":["), "{said}");
            // The example in the message is accepted.
            let (_, shown) = said.split_once("as in ").unwrap();
            let (shown, _) = shown.split_once(", and the answer").unwrap();
            assert!(matches!(ask(shown).what, JsonCall::Call { call: Ok(_), .. }), "{shown}");
        }
        let fits = r#"{"jsonrpc":"2.0","method":"Wakeful.Get","params":[{"key":"a"}],"id":1}"#;
        assert!(matches!(ask(fits).what, JsonCall::Call { call: Ok(_), .. }));
    }

    #[test]
    fn g3_the_seeds_calls_are_requests_of_the_store() {
        let call = |text| match ask(text).what {
            JsonCall::Call { call, .. } => call.unwrap(),
            other => panic!("{text}: {other:?}"),
        };
        let set = call(r#"{"method":"KVStoreService.Set","params":[["a","b"]],"id":1}"#);
        let expected = SetRequest { only_if_changed: true, ..SetRequest::new("a", "b") };
        assert_eq!(set, RpcCall::from(KvRequest::Set(expected)));
        let RpcCall::Wait(wait) = call(r#"{"method":"KVStoreService.Watch","params":[-3],"id":1}"#)
        else {
            panic!("it is a wait")
        };
        let timeout = Some(std::time::Duration::ZERO);
        assert_eq!(wait, WaitRequest { timeout, ..WaitRequest::new(crate::KeyRange::all()) });
    }

    #[test]
    fn g2_an_id_is_any_json_up_to_a_length() {
        for id in ["0", "18446744073709551615", "\"a\\n\"", "[1, {}]", "null", "-1.5e3"] {
            let asked = ask(&format!(r#"{{"id":{id},"method":"x"}}"#));
            assert_eq!(std::str::from_utf8(&asked.id).unwrap(), id);
        }
        assert_eq!(&*ask("{}").id, b"null");
        let mut config = Config::new().rpc;
        config.json_id_bytes_max = 3;
        let read =
            |text: &str| understand(text.as_bytes(), Instant::now(), RequestLimits::of(&config));
        assert!(read(r#"{"id":123}"#).is_ok());
        assert!(read(r#"{"id":1234}"#).unwrap_err().contains("rpc.json_id_bytes_max"));
    }
}
