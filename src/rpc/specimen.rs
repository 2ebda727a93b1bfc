//! Specimens of the commonest frames, for `benches/codec.rs`; not part of the API.
//!
//! Bodies are private to `rpc`, so what is to be measured is wrapped here: each function does
//! what a connection does with one such frame, and no more.

use std::hint::black_box;
use std::sync::Arc;

use super::codec::{self, CodecError};
use super::frame::{self, Kind};
use super::proto::{Call, WireCall, WireReply};
use crate::model::{GetReply, GetRequest, KeyValue, KvRequest, Reply, SetReply, SetRequest};

const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A request and its reply.
#[derive(Debug)]
pub struct Specimen {
    call: Call,
    reply: Reply,
}

impl Specimen {
    /// A set of a 16-byte key to 64 bytes.
    pub fn set() -> Self {
        let request = KvRequest::Set(SetRequest::new("key:000000012345", vec![b'x'; 64]));
        let reply = SetReply { revision: 1_000_000, changed: true, lease: 0, previous: None };
        Self { call: Call::from(request), reply: Reply::Set(reply) }
    }

    /// A get that finds 64 bytes.
    pub fn get() -> Self {
        let request = KvRequest::Get(GetRequest { key: "key:000000012345".into(), revision: 0 });
        let kv = KeyValue {
            key: "key:000000012345".into(),
            value: vec![b'x'; 64].into(),
            create_revision: 12_345,
            mod_revision: 999_999,
            version: 17,
            lease: 0,
        };
        let reply = GetReply { revision: 1_000_000, kv: Some(Arc::new(kv)) };
        Self { call: Call::from(request), reply: Reply::Get(reply) }
    }

    /// Appends the request's frame, as a client does.
    ///
    /// # Errors
    /// None for these specimens.
    pub fn encode_request(&self, out: &mut Vec<u8>) -> Result<usize, CodecError> {
        codec::encode_frame(out, Kind::Request, 7, 0, &WireCall::from(&self.call), BODY_BYTES_MAX)
    }

    /// Splits off and decodes the request in `bytes`, as a server does.
    ///
    /// # Errors
    /// None for a frame of [`encode_request`](Self::encode_request).
    pub fn decode_request(bytes: &[u8]) -> Result<(), CodecError> {
        if let Some((_, body, _)) = frame::split(bytes, BODY_BYTES_MAX)? {
            black_box(Call::from(codec::decode::<WireCall<'_>>(body)?));
        }
        Ok(())
    }

    /// Appends the reply's frame, as a server does.
    ///
    /// # Errors
    /// None for these specimens.
    pub fn encode_reply(&self, out: &mut Vec<u8>) -> Result<usize, CodecError> {
        codec::encode_frame(out, Kind::Reply, 7, 0, &WireReply::from(&self.reply), BODY_BYTES_MAX)
    }

    /// Splits off and decodes the reply in `bytes`, as a client does.
    ///
    /// # Errors
    /// None for a frame of [`encode_reply`](Self::encode_reply).
    pub fn decode_reply(bytes: &[u8]) -> Result<(), CodecError> {
        if let Some((_, body, _)) = frame::split(bytes, BODY_BYTES_MAX)? {
            black_box(codec::decode::<WireReply<'_>>(body)?.into_store_reply());
        }
        Ok(())
    }
}
