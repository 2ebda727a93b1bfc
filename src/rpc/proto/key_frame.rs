//! Frames of replies about one key, written without the encoder: most replies are such.

use crate::model::{KeyValue, Reply};
use crate::rpc::frame::Header;

/// The numbers of [`WireReply`](super::WireReply)s.
const SET: [u8; 4] = [0, 0, 0, 0];
const GET: [u8; 4] = [1, 0, 0, 0];

/// The bytes of the bodies: of a set; of a get, without a key; of a key, without itself and its value.
const SET_BYTES: usize = 4 + 8 + 1 + 8 + 1;
const GET_BYTES: usize = 4 + 8 + 1;
const KEY_VALUE_BYTES: usize = 6 * 8;

/// Appends the frame of a reply to a get, or to a set without the previous value, with its length filled
/// in. Returns false, and appends nothing, for every other reply and for a body longer than
/// `body_bytes_max`: the encoder of [`WireReply`](super::WireReply) takes those.
pub(crate) fn append_key_reply(
    out: &mut Vec<u8>,
    header: Header,
    reply: &Reply,
    body_bytes_max: usize,
) -> bool {
    let body_bytes = match reply {
        Reply::Set(set) if set.previous.is_none() => SET_BYTES,
        Reply::Get(get) => {
            let of_key = |kv: &KeyValue| KEY_VALUE_BYTES + kv.key.len() + kv.value.len();
            GET_BYTES + get.kv.as_deref().map_or(0, of_key)
        }
        _ => return false,
    };
    if body_bytes > body_bytes_max {
        return false;
    }
    let header = Header { body_bytes: body_bytes as u32, ..header }.encode();
    out.reserve(header.len() + body_bytes);
    out.extend_from_slice(&header);
    match reply {
        Reply::Set(set) => {
            out.extend_from_slice(&SET);
            out.extend_from_slice(&set.revision.to_le_bytes());
            out.push(u8::from(set.changed));
            out.extend_from_slice(&set.lease.to_le_bytes());
            out.push(0);
        }
        Reply::Get(get) => {
            out.extend_from_slice(&GET);
            out.extend_from_slice(&get.revision.to_le_bytes());
            out.push(u8::from(get.kv.is_some()));
            if let Some(kv) = &get.kv {
                append_key_value(out, kv);
            }
        }
        _ => {}
    }
    true
}

fn append_key_value(out: &mut Vec<u8>, kv: &KeyValue) {
    for bytes in [&kv.key, &kv.value] {
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{DeleteReply, GetReply, SetReply};
    use crate::rpc::codec::encode_headed;
    use crate::rpc::frame::Kind;
    use crate::rpc::proto::WireReply;

    fn key_value() -> impl Strategy<Value = Arc<KeyValue>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..30);
        (bytes(), bytes(), any::<[u64; 4]>()).prop_map(|(key, value, numbers)| {
            let [create_revision, mod_revision, version, lease] = numbers;
            let (key, value) = (key.into(), value.into());
            Arc::new(KeyValue { key, value, create_revision, mod_revision, version, lease })
        })
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let kv = || prop::option::of(key_value());
        let set = (any::<u64>(), any::<bool>(), any::<u64>(), kv());
        let set = set.prop_map(|(revision, changed, lease, previous)| {
            Reply::Set(SetReply { revision, changed, lease, previous })
        });
        let get = (any::<u64>(), kv());
        let get = get.prop_map(|(revision, kv)| Reply::Get(GetReply { revision, kv }));
        let delete = any::<u64>().prop_map(|revision| {
            Reply::Delete(DeleteReply { revision, deleted: 1, previous: Vec::new() })
        });
        prop_oneof![4 => set, 4 => get, 1 => delete]
    }

    proptest! {
        /// What is written without the encoder is what the encoder would have written.
        #[test]
        fn r1_a_reply_about_one_key_is_written_as_the_encoder_writes_it(
            reply in reply(),
            id in 1_u64..,
            durability in 0_u8..3,
            max in 0_usize..200,
        ) {
            let header = Header { durability, ..Header::bare(Kind::Reply, id) };
            let (mut appended, mut encoded) = (vec![7], vec![7]);
            let is_appended = append_key_reply(&mut appended, header, &reply, max);
            let bytes = encode_headed(&mut encoded, header, &WireReply::from(&reply), max);
            let is_plain = match &reply {
                Reply::Set(set) => set.previous.is_none(),
                reply => matches!(reply, Reply::Get(_)),
            };
            prop_assert_eq!(is_appended, is_plain && bytes.is_ok());
            prop_assert_eq!(&appended[..], if is_appended { &encoded[..] } else { &[7][..] });
        }
    }
}
