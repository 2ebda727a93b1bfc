//! `KVStoreService`: the key-value service of a Go tutorial on RPC, whose clients run unchanged.

use std::time::Duration;

use super::Shape;
use super::envelope::{FirstValues, JsonText, argument};
use super::request::{JsonCall, plain};
use super::shape::NOT_FOUND;
use crate::auth::Credentials;
use crate::model::{Blob, GetRequest, KeyRange, KvRequest, RpcCall, SetRequest, WaitRequest};

/// The methods.
pub(super) const METHODS: [&str; 4] = ["Get", "Set", "Watch", "Login"];

/// Parses a call of `method`, or returns the reason of its refusal; `None` if the method does not
/// exist.
pub(super) fn understand(method: &str, params: Option<&str>) -> Option<Result<JsonCall, String>> {
    Some(match method {
        "Get" => argument(params).map(get),
        "Set" => argument(params).map(set),
        "Watch" => argument(params).map(watch),
        "Login" => argument(params).map(login),
        _ => return None,
    })
    .map(|what| what.map_err(|error| error.to_string()))
}

fn get(JsonText(key): JsonText<'_>) -> JsonCall {
    // A key that cannot be set does not exist.
    if key.is_empty() {
        return JsonCall::Refused(NOT_FOUND.to_owned());
    }
    plain(KvRequest::Get(GetRequest { key: Blob::from(&*key), revision: 0 }), Shape::Value)
}

fn set(FirstValues([JsonText(key), JsonText(value)]): FirstValues<JsonText<'_>, 2>) -> JsonCall {
    // Setting the current value makes no event.
    let set = SetRequest { only_if_changed: true, ..SetRequest::new(&*key, &*value) };
    plain(KvRequest::Set(set), Shape::Empty)
}

/// Parses `user:password`; a string without a colon is a token.
fn login(JsonText(text): JsonText<'_>) -> JsonCall {
    let credentials = match text.split_once(':') {
        Some((user, password)) => Credentials::password(user, password),
        None => Credentials::token(text),
    };
    JsonCall::Call { call: Ok(RpcCall::Login(credentials)), deadline: None, shape: Shape::User }
}

fn watch(seconds: i64) -> JsonCall {
    let timeout = Duration::from_secs(seconds.max(0).unsigned_abs());
    let wait = WaitRequest { timeout: Some(timeout), ..WaitRequest::new(KeyRange::all()) };
    JsonCall::Call { call: Ok(RpcCall::Wait(wait)), deadline: None, shape: Shape::ChangedKey }
}
