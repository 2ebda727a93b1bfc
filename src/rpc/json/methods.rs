//! `Wakeful`: the native protocol as methods with one argument each, an object with the fields that
//! `docs/protocol.md` gives the request.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Shape;
use super::envelope::{ArgumentError, argument, raw_argument};
use super::node::JsonNode;
use super::reading::{DecodeError, structure, variant, variants};
use super::request::{IdText, JsonCall};
use crate::config::Durability;
use crate::model::{RpcCall, WatchRequest};
use crate::rpc::proto::{WireCall, WireJobRequest, WireRequest, WireWatch};

/// Requests of the native protocol that are other methods in JSON: those of streams, a call of a method,
/// and `Job`, whose requests are methods behind that name.
const NO_METHODS: [&str; 5] = ["StreamOpen", "WatchAdd", "WatchCancel", "Invoke", "Job"];

/// Methods that are not requests of the native protocol, or differ from them in JSON.
const OTHERS: [&str; 7] =
    ["Ping", "Goodbye", "Hello", "Cancel", "WatchOpen", "WatchNext", "WatchClose"];

/// Returns the requests of the native protocol that are methods of the same name.
fn requests() -> impl Iterator<Item = &'static str> {
    let names = variants::<WireRequest<'_>>().iter().copied();
    names.filter(|name| !NO_METHODS.contains(name))
}

/// Returns the requests to the queue, which are methods of the same name behind `Job`.
fn job_requests() -> impl Iterator<Item = &'static str> {
    variants::<WireJobRequest<'_>>().iter().copied()
}

/// Returns the names of the methods.
pub(super) fn names() -> impl Iterator<Item = String> {
    let plain = OTHERS.into_iter().chain(requests()).map(str::to_owned);
    plain.chain(job_requests().map(|name| format!("Job{name}")))
}

/// Parses a call of `method`, or returns the reason of its refusal; `None` if the method does not
/// exist.
pub(super) fn understand(
    method: &str,
    params: Option<&str>,
    now: Instant,
    nodes_max: usize,
) -> Option<Result<JsonCall, String>> {
    let reader = ArgumentReader { params, now, nodes_max };
    let understood = match method {
        "Ping" => raw_argument(params).map(|_| JsonCall::Ping).map_err(wrong),
        "Goodbye" => raw_argument(params).map(|_| JsonCall::Goodbye).map_err(wrong),
        "Hello" => {
            reader.fields().map(|HelloArgument { client_name }| JsonCall::Hello(client_name))
        }
        "Cancel" => reader.cancel(),
        "WatchOpen" => reader.watch_open(),
        "WatchNext" => reader.fields().map(|WatchArgument { watch }| JsonCall::WatchNext(watch)),
        "WatchClose" => reader.fields().map(|WatchArgument { watch }| JsonCall::WatchClose(watch)),
        name => {
            let (name, job) = known(name)?;
            reader.request(name, job)
        }
    };
    Some(understood)
}

/// Returns the request of this name, and whether it is one to the queue.
fn known(method: &str) -> Option<(&'static str, bool)> {
    match method.strip_prefix("Job") {
        Some(name) => Some((job_requests().find(|it| *it == name)?, true)),
        None => Some((requests().find(|it| *it == method)?, false)),
    }
}

fn wrong(error: ArgumentError) -> String {
    error.to_string()
}

fn invalid_argument(error: DecodeError) -> String {
    format!("InvalidArgument: {error}")
}

#[derive(Debug, Deserialize)]
struct HelloArgument {
    client_name: String,
}

#[derive(Debug, Deserialize)]
struct WatchArgument {
    watch: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CancelArgument<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// Reads the argument of a call.
#[derive(Clone, Copy)]
struct ArgumentReader<'a> {
    params: Option<&'a str>,
    now: Instant,
    nodes_max: usize,
}

/// The options of any request of the native protocol besides its fields.
struct CallArguments {
    idempotency: Option<u128>,
    durability: Option<Durability>,
    deadline: Option<Instant>,
}

impl<'a> ArgumentReader<'a> {
    fn node(self) -> Result<JsonNode<'a>, String> {
        let text = raw_argument(self.params).map_err(wrong)?;
        let node = JsonNode::read(text, self.nodes_max);
        node.map_err(|error| wrong(ArgumentError::Wrong(error)))
    }

    /// Reads an argument that consists of its fields only.
    fn fields<T: DeserializeOwned>(self) -> Result<T, String> {
        structure(&self.node()?).map_err(invalid_argument)
    }

    fn request(self, name: &'static str, job: bool) -> Result<JsonCall, String> {
        let mut node = self.node()?;
        let CallArguments { idempotency, durability, deadline } = self.options(&mut node)?;
        if job && name == "Reserve" && !says(&node, "credits") {
            node.put("credits", JsonNode::Unsigned(1));
        }
        let request = if job {
            let request: WireJobRequest<'_> = variant(name, &node).map_err(invalid_argument)?;
            WireRequest::Job(request)
        } else {
            variant(name, &node).map_err(invalid_argument)?
        };
        let mut call = RpcCall::from(WireCall { idempotency, request });
        let told = durability.is_some();
        if let RpcCall::Store { options, .. } = &mut call {
            options.durability = durability;
        }
        Ok(JsonCall::Call { call: Ok(call), deadline, shape: Shape::Plain { durability: told } })
    }

    fn options(self, node: &mut JsonNode<'a>) -> Result<CallArguments, String> {
        let refuse = |what: &str| Err(format!("InvalidArgument: {what}"));
        let durability = match node.take("durability") {
            None | Some(JsonNode::Null) => None,
            Some(JsonNode::Text(text)) if text == "interval" => Some(Durability::Interval),
            Some(JsonNode::Text(text)) if text == "fsync" => Some(Durability::Fsync),
            Some(_) => return refuse("durability: expected \"interval\" or \"fsync\""),
        };
        let deadline: Option<u64> = number(node, "deadline_ms")?;
        let deadline = deadline.filter(|ms| *ms > 0).map(Duration::from_millis);
        let deadline = deadline.and_then(|left| self.now.checked_add(left));
        let idempotency = number(node, "idempotency")?;
        Ok(CallArguments { idempotency, durability, deadline })
    }

    fn watch_open(self) -> Result<JsonCall, String> {
        let node = self.node()?;
        let wire: WireWatch<'_> = structure(&node).map_err(invalid_argument)?;
        let mut watch = WatchRequest::from(wire);
        if !watch.puts && !watch.deletes && !says(&node, "puts") && !says(&node, "deletes") {
            (watch.puts, watch.deletes) = (true, true);
        }
        Ok(JsonCall::WatchOpen(watch))
    }

    fn cancel(self) -> Result<JsonCall, String> {
        let CancelArgument { id } = argument(self.params).map_err(wrong)?;
        let id = id.map_or("null", RawValue::get);
        Ok(JsonCall::Cancel(IdText::from_slice(id.as_bytes())))
    }
}

/// Removes a number from an object, if present.
fn number<T: DeserializeOwned>(node: &mut JsonNode<'_>, name: &str) -> Result<Option<T>, String> {
    let number = structure(&node.take(name).unwrap_or(JsonNode::Null));
    number.map_err(|error: DecodeError| format!("InvalidArgument: {name}: {error}"))
}

fn says(node: &JsonNode<'_>, name: &str) -> bool {
    match node {
        JsonNode::Object(members) => members.iter().any(|(it, _)| it.eq_ignore_ascii_case(name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CallOptions;

    fn ask(method: &str, argument: &str) -> Result<JsonCall, String> {
        let params = format!("[{argument}]");
        understand(method, Some(&params), Instant::now(), 1000).expect("there is such a method")
    }

    #[test]
    fn g6_a_request_may_say_how_it_is_to_be_done() {
        let key = u128::MAX;
        let argument = format!(
            r#"{{"key":"a","idempotency":"{key}","durability":"fsync","deadline_ms":1000}}"#
        );
        let Ok(JsonCall::Call { call, deadline, shape }) = ask("Set", &argument) else {
            panic!("no")
        };
        let Ok(RpcCall::Store { options, .. }) = call else { panic!("no") };
        let durability = Some(Durability::Fsync);
        assert_eq!(options, CallOptions { idempotency: Some(key), durability });
        assert!(deadline.is_some() && matches!(shape, Shape::Plain { durability: true }));
        for bad in [r#"{"durability":"memory"}"#, r#"{"deadline_ms":-1}"#, r#"{"idempotency":"x"}"#]
        {
            let told = ask("Set", bad).unwrap_err();
            assert!(told.starts_with("InvalidArgument: "), "{told}");
        }
    }

    #[test]
    fn g6_a_watch_shows_everything_unless_it_says_otherwise() {
        for (argument, shown) in [
            (r#"{"range":{"key":"a"}}"#, (true, true)),
            (r#"{"range":{"key":"a"},"puts":true}"#, (true, false)),
            (r#"{"range":{"key":"a"},"puts":false,"deletes":false}"#, (false, false)),
        ] {
            let Ok(JsonCall::WatchOpen(watch)) = ask("WatchOpen", argument) else { panic!("no") };
            assert_eq!((watch.puts, watch.deletes), shown, "{argument}");
        }
    }

    #[test]
    fn g6_every_request_of_the_native_protocol_is_a_method() {
        for name in requests() {
            assert!(understand(name, Some("[]"), Instant::now(), 9).is_some(), "{name}");
        }
        for name in NO_METHODS {
            assert!(understand(name, Some("[]"), Instant::now(), 9).is_none(), "{name}");
        }
        for name in job_requests() {
            let method = format!("Job{name}");
            let understood = understand(&method, Some("[]"), Instant::now(), 9).unwrap();
            let told = understood.err().unwrap_or_default();
            assert!(!told.contains("unknown field") && !told.contains("unknown name"), "{told}");
        }
        let names: Vec<String> = names().collect();
        for known in ["Set", "Login", "Gauges", "WatchNext", "JobPush", "JobFreeIndex"] {
            assert!(names.iter().any(|name| name == known), "{known}");
        }
    }
}
