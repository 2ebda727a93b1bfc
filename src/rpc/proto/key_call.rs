//! Bodies of `Request` frames about one key, read without a decoder: most requests are such.

use crate::model::{KeyAction, KeyView};

/// The numbers of [`WireRequest`](super::WireRequest)s, and that of a single key among ranges.
const SET: u8 = 0;
const GET: u8 = 1;
const DELETE: u8 = 3;
const KEY: [u8; 4] = [0; 4];

/// Reads a get, a plain set, or the delete of a single key, without an idempotency key. Returns `None` for
/// every other body, well-formed or not: the decoder of [`WireCall`](super::WireCall) takes those.
pub(crate) fn read_key_call(body: &[u8]) -> Option<KeyView<'_>> {
    let (head, rest) = body.split_first_chunk::<5>()?;
    let [0, variant, 0, 0, 0] = *head else { return None };
    match variant {
        GET => {
            let (key, rest) = split_bytes(rest)?;
            let revision = u64::from_le_bytes(rest.try_into().ok()?);
            Some(KeyView { action: KeyAction::Get { revision }, key, value: &[] })
        }
        SET => {
            let (key, rest) = split_bytes(rest)?;
            let (value, rest) = split_bytes(rest)?;
            // Without a lease and a time to live.
            let flags = rest.strip_prefix(&[0; 16])?;
            let [only_if_changed, return_previous] = *flags else { return None };
            let (only_if_changed, return_previous) =
                (flag(only_if_changed)?, flag(return_previous)?);
            Some(KeyView {
                action: KeyAction::Set { only_if_changed, return_previous },
                key,
                value,
            })
        }
        DELETE => {
            let (key, rest) = split_bytes(rest.strip_prefix(&KEY)?)?;
            let [return_previous] = *rest else { return None };
            let action = KeyAction::Delete { return_previous: flag(return_previous)? };
            Some(KeyView { action, key, value: &[] })
        }
        _ => None,
    }
}

/// Splits off a byte string.
fn split_bytes(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{
        CallOptions, DeleteRequest, GetRequest, KeyRange, KvRequest, RpcCall, SetRequest,
    };
    use crate::rpc::codec::{decode, encode_frame};
    use crate::rpc::frame::{HEADER_BYTES, Kind};
    use crate::rpc::proto::{WireCall, request_bodies};

    fn body(call: &RpcCall) -> Vec<u8> {
        let mut frame = Vec::new();
        encode_frame(&mut frame, Kind::Request, 1, 0, &WireCall::from(call), usize::MAX).unwrap();
        frame.split_off(HEADER_BYTES)
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..20)
    }

    fn about_one_key() -> impl Strategy<Value = KvRequest> {
        let set = (bytes(), bytes(), any::<(bool, bool)>()).prop_map(|(key, value, flags)| {
            let (only_if_changed, return_previous) = flags;
            let set = SetRequest::new(key, value);
            KvRequest::Set(SetRequest { only_if_changed, return_previous, ..set })
        });
        let get = (bytes(), any::<u64>())
            .prop_map(|(key, revision)| KvRequest::Get(GetRequest { key: key.into(), revision }));
        let delete = (bytes(), any::<bool>()).prop_map(|(key, return_previous)| {
            KvRequest::Delete(DeleteRequest { range: KeyRange::Key(key.into()), return_previous })
        });
        prop_oneof![set, get, delete]
    }

    proptest! {
        /// What is read without the decoder is what the decoder would have read.
        #[test]
        fn r1_a_request_about_one_key_is_read_as_the_decoder_reads_it(
            asked in about_one_key(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in 0_usize..3,
        ) {
            let call = RpcCall::from(asked);
            let mut body = body(&call);
            prop_assert_eq!(read_key_call(&body).map(|view| view.to_owned().into()), Some(call));
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body.truncate(body.len() - cut);
            if let Some(view) = read_key_call(&body) {
                let decoded = decode::<WireCall<'_>>(&body).map(RpcCall::from);
                prop_assert_eq!(decoded, Ok(view.to_owned().into()));
            }
        }
    }

    #[test]
    fn r1_every_other_request_is_left_to_the_decoder() {
        let mut read = 0;
        for body in request_bodies() {
            if let Some(view) = read_key_call(&body) {
                read += 1;
                let decoded = decode::<WireCall<'_>>(&body).map(RpcCall::from);
                assert_eq!(decoded, Ok(view.to_owned().into()));
            }
        }
        assert!(read > 0);
        let set = SetRequest::new("k", "v");
        let leased = KvRequest::Set(SetRequest { lease: 1, ..set.clone() });
        let ttl = Some(Duration::from_secs(1));
        let fleeting = KvRequest::Set(SetRequest { ttl, ..set.clone() });
        let many = KvRequest::Delete(DeleteRequest::new(KeyRange::prefix("k")));
        let keyed =
            RpcCall::Store { options: CallOptions::once(7), request: KvRequest::Set(set).into() };
        for call in [leased.into(), fleeting.into(), many.into(), keyed] {
            assert_eq!(read_key_call(&body(&call)), None, "{call:?}");
        }
    }
}
