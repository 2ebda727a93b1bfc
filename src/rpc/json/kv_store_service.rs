//! `KVStoreService`: the key-value service of a Go tutorial on RPC, whose clients run unchanged.

use std::time::Duration;

use super::Shape;
use super::ask::{What, plain};
use super::envelope::{First, Text, argument};
use super::shape::NOT_FOUND;
use crate::auth::Credentials;
use crate::model::{Blob, GetRequest, KeyRange, KvRequest, SetRequest, WaitRequest};
use crate::rpc::proto::Call;

/// The methods.
pub(super) const METHODS: [&str; 4] = ["Get", "Set", "Watch", "Login"];

/// Parses a call of `method`, or returns the reason of its refusal; `None` if the method does not
/// exist.
pub(super) fn understand(method: &str, params: Option<&str>) -> Option<Result<What, String>> {
    Some(match method {
        "Get" => argument(params).map(get),
        "Set" => argument(params).map(set),
        "Watch" => argument(params).map(watch),
        "Login" => argument(params).map(login),
        _ => return None,
    })
    .map(|what| what.map_err(|error| error.to_string()))
}

fn get(Text(key): Text<'_>) -> What {
    // A key that cannot be set does not exist.
    if key.is_empty() {
        return What::Refused(NOT_FOUND.to_owned());
    }
    plain(KvRequest::Get(GetRequest { key: Blob::from(&*key), revision: 0 }), Shape::Value)
}

fn set(First([Text(key), Text(value)]): First<Text<'_>, 2>) -> What {
    // Setting the current value makes no event.
    let set = SetRequest { only_if_changed: true, ..SetRequest::new(&*key, &*value) };
    plain(KvRequest::Set(set), Shape::Empty)
}

/// Parses `user:password`; a string without a colon is a token.
fn login(Text(text): Text<'_>) -> What {
    let credentials = match text.split_once(':') {
        Some((user, password)) => Credentials::password(user, password),
        None => Credentials::token(text),
    };
    What::Call { call: Ok(Call::Login(credentials)), deadline: None, shape: Shape::User }
}

fn watch(seconds: i64) -> What {
    let timeout = Duration::from_secs(seconds.max(0).unsigned_abs());
    let wait = WaitRequest { timeout: Some(timeout), ..WaitRequest::new(KeyRange::all()) };
    What::Call { call: Ok(Call::Wait(wait)), deadline: None, shape: Shape::ChangedKey }
}
