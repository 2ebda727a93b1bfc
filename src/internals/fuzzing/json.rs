//! [`json_requests`]: the input of a connection that speaks JSON.

use std::time::Instant;

use crate::config::Config;
use crate::model::RpcCall;
use crate::rpc::codec::{decode, encode_frame};
use crate::rpc::frame::{HEADER_BYTES, Kind};
use crate::rpc::json::{
    JsonCall, JsonRequest, RequestLimits, Split, Splitter, ValueLimits, refuse, understand,
};
use crate::rpc::proto::WireCall;

/// Reads `data` as the JSON of a connection; the first byte determines the pieces in which the rest
/// arrives. Everything that is understood must be the same if it arrives in one piece, must have been
/// JSON, must get an answer with its own id, and must mean the same on the native wire.
pub fn json_requests(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    let values = split(data, usize::from(*size).max(1));
    assert_eq!(values, split(data, data.len().max(1)), "it depends on the pieces");
    let limits = RequestLimits::of(&Config::new().rpc);
    for value in &values {
        match understand(value, Instant::now(), limits) {
            Ok(ask) => check(value, &ask),
            // The connection ends.
            Err(_) => return,
        }
    }
}

fn split(data: &[u8], size: usize) -> Vec<Vec<u8>> {
    let config = Config::new().rpc;
    let bounds =
        ValueLimits { bytes_max: config.frame_bytes_max, depth_max: config.json_depth_max };
    let (mut splitter, mut held, mut values) = (Splitter::default(), Vec::new(), Vec::new());
    for piece in data.chunks(size) {
        held.extend_from_slice(piece);
        loop {
            match splitter.split(&held, bounds) {
                Err(_) => return values,
                Ok(Split::Partial { space }) => {
                    held.drain(..space);
                    break;
                }
                Ok(Split::Whole { space, end }) => {
                    values.extend(held.get(space..end).map(<[u8]>::to_vec));
                    held.drain(..end);
                }
            }
        }
    }
    values
}

fn check(value: &[u8], ask: &JsonRequest) {
    let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(value);
    assert!(parsed.is_ok(), "it is no JSON, but was understood");
    let mut reply = Vec::new();
    refuse(&mut reply, &ask.id, "no");
    let read: Result<serde_json::Value, _> = serde_json::from_slice(&reply);
    let id = serde_json::from_slice::<serde_json::Value>(&ask.id);
    match (read, id) {
        (Ok(reply), Ok(id)) => assert_eq!(reply.get("id"), Some(&id), "another id"),
        // Numbers and escapes that are valid JSON, but cannot be a value.
        (_, id) => assert!(id.is_err(), "the reply is no JSON"),
    }
    if let JsonCall::Call { call: Ok(call), .. } = &ask.what {
        check_call(call);
    }
}

/// Checks that a call can be encoded for the native wire and decoded to the same call.
fn check_call(call: &RpcCall) {
    let mut frame = Vec::new();
    let wire = WireCall::from(call);
    assert!(encode_frame(&mut frame, Kind::Request, 1, 0, &wire, usize::MAX).is_ok());
    let body = frame.get(HEADER_BYTES..).unwrap_or_default();
    assert_eq!(decode::<WireCall<'_>>(body).as_ref(), Ok(&wire), "it says something else");
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::tests::{mutate, mutation};
    use super::*;
    use crate::store::tests::cases;

    /// Returns requests of every kind, as in the document.
    pub(in crate::internals) fn requests() -> Vec<Vec<u8>> {
        let document = include_str!("../../../docs/protocol.md");
        let lines = document.lines().filter_map(|line| line.strip_prefix("> "));
        let more = [
            r#"{"method":"Wakeful.Txn","params":[{"compares":[{"range":{"key":"a"},"op":"less","target":{"version":2}}],"success":[{"set":{"key":"a","value":{"base64":"/w=="}}}],"failure":[{"range":{"range":{"prefix":""}}}]}],"id":1}"#,
            r#"{"method":"Wakeful.Wait","params":[{"range":{"range":{"from":"a","to":"b"}},"condition":{"Equals":"x"},"after":1,"timeout_ms":5}],"id":"\u0041"}"#,
            r#"{"method":"Wakeful.JobSettle","params":[{"settlements":[{"reservation":{"id":1,"epoch":2},"verdict":{"retry":{"after_ms":5,"error":"e"}}}],"durability":"fsync"}],"id":[{}]}"#,
            r#"{"method":"Wakeful.JobSetTopic","params":[{"topic":"t","settings":{"rate":{"jobs":1},"backoff":{"list":{"pauses_ms":[1,2]}}},"deadline_ms":9}],"id":null}"#,
            r#"{"method":"Wakeful.JobSetSchedule","params":[{"name":"s","cron":"* * * * *","push":{"topic":"t","unique":{"finished":{"after_ms":1}}},"idempotency":"7"}]}"#,
            r#"{"method":"HelloService.Hello","params":[{"a":[1.5e3,-2,true]}],"id":-0.5}"#,
        ];
        lines.chain(more).map(|line| line.as_bytes().to_vec()).collect()
    }

    #[test]
    fn g6_the_requests_of_the_document_are_understood() {
        let (mut calls, limits) = (0, RequestLimits::of(&Config::new().rpc));
        for request in requests() {
            json_requests(&[&[1][..], &request].concat());
            let ask = understand(&request, Instant::now(), limits).unwrap();
            calls += usize::from(matches!(ask.what, JsonCall::Call { call: Ok(_), .. }));
        }
        assert!(calls > 10);
    }

    proptest! {
        #![proptest_config(cases(300))]

        #[test]
        fn g4_json_that_nobody_wrote_harms_nobody(
            data in vec(any::<u8>(), 0..100),
            text in "[{}\\[\\]:,\"\\\\a-c0-9.eE+ \n-]{0,60}",
            size in 1..20u8,
        ) {
            json_requests(&[&[size, b'{'][..], &data].concat());
            json_requests(&[&[size, b'{'][..], text.as_bytes()].concat());
        }

        #[test]
        fn g4_json_that_was_changed_harms_nobody(
            picked in vec(any::<prop::sample::Index>(), 1..4),
            mutations in vec(mutation(), 0..6),
            size in 1..40u8,
        ) {
            let requests = requests();
            let mut data: Vec<u8> = picked.iter().flat_map(|it| it.get(&requests).clone()).collect();
            for mutation in &mutations {
                mutate(&mut data, mutation);
            }
            json_requests(&[&[size][..], &data].concat());
        }
    }
}
