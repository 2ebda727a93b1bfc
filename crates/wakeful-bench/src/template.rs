//! [`Template`]: a request frame encoded once, of which only the id and the digits of the key
//! change; and the keys of a load.
//!
//! Encoding each request anew would cost the generator more than answering it costs the server.

use wakeful::Error;
use wakeful::internals::wire::RequestBody;
use wakeful::rpc::frame::{HEADER_BYTES, Header, Kind};
use wakeful::{GetRequest, KvRequest, SetRequest};

use super::caller::broken;
use super::mix::Operation;
use super::redis;

/// The number of digits in a key.
const DIGITS: usize = 12;

/// The digits to patch, unlikely to occur elsewhere in a request.
const MARK: u64 = 918_273_645_546;

/// An encoded request without its id and the digits of its key.
#[derive(Debug)]
pub(super) struct Template {
    /// The header; requests to a Redis have none.
    header: Option<Header>,
    /// The body up to the digits.
    before: Vec<u8>,
    /// The body from after the digits.
    after: Vec<u8>,
}

impl Template {
    /// Returns the template for `operation`, on keys of [`key`], with values of `value_bytes` and a deadline
    /// (0 for none).
    pub(super) fn new(
        operation: Operation,
        value_bytes: usize,
        deadline_ms: u32,
    ) -> Result<Self, Error> {
        let marked = key("key", MARK);
        let request = match operation {
            Operation::Set => KvRequest::Set(SetRequest::new(marked, vec![b'x'; value_bytes])),
            Operation::Get => KvRequest::Get(GetRequest { key: marked.into(), revision: 0 }),
        };
        let mut frame = Vec::new();
        RequestBody::from(request).encode(&mut frame, 0)?;
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        let body_bytes = body.len() as u32;
        let header = Header { body_bytes, deadline_ms, ..Header::bare(Kind::Request, 0) };
        Self::around_mark(Some(header), body)
    }

    /// Returns the same for Redis.
    pub(super) fn redis(operation: Operation, value_bytes: usize) -> Result<Self, Error> {
        let (marked, value) = (key("key", MARK), "x".repeat(value_bytes));
        let marked = String::from_utf8_lossy(&marked);
        let command = match operation {
            Operation::Set => redis::command(&["SET", &marked, &value]),
            Operation::Get => redis::command(&["GET", &marked]),
        };
        Self::around_mark(None, &command)
    }

    fn around_mark(header: Option<Header>, body: &[u8]) -> Result<Self, Error> {
        let mark = digits(MARK);
        let place = body.windows(DIGITS).position(|window| window == mark);
        let (before, rest) = place
            .and_then(|place| body.split_at_checked(place))
            .ok_or_else(|| broken("an encoded request does not hold its key"))?;
        let after = rest.get(DIGITS..).unwrap_or_default().to_vec();
        Ok(Self { header, before: before.to_vec(), after })
    }

    /// Appends the request with `id`, on the key with `number`.
    pub(super) fn encode(&self, out: &mut Vec<u8>, id: u64, number: u64) {
        if let Some(header) = self.header {
            out.extend_from_slice(&Header { id, ..header }.encode());
        }
        out.extend_from_slice(&self.before);
        out.extend_from_slice(&digits(number));
        out.extend_from_slice(&self.after);
    }
}

/// Returns the key with `number`: `key:000000012345`, as redis-benchmark makes them.
pub(super) fn key(prefix: &str, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + 1 + DIGITS);
    key.extend_from_slice(prefix.as_bytes());
    key.push(b':');
    key.extend_from_slice(&digits(number));
    key
}

fn digits(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        if number == 0 {
            break;
        }
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

/// Draws numbers of keys: splitmix64, because a better generator costs more than it is worth here.
#[derive(Debug)]
pub(super) struct Draw {
    state: u64,
}

impl Draw {
    /// Returns a generator whose numbers depend on `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0xA076_1D64_78BD_642F) }
    }

    /// Returns the next number.
    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns the next number of `0 .. bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wakeful::rpc::frame;

    #[test]
    fn a_template_encodes_what_the_codec_would() {
        for operation in [Operation::Set, Operation::Get] {
            let mut ours = Vec::new();
            Template::new(operation, 64, 250).unwrap().encode(&mut ours, 77, 12_345);
            let (header, body, rest) = frame::split(&ours, 1 << 20).unwrap().unwrap();
            assert!(rest.is_empty());
            assert_eq!((header.kind, header.id, header.deadline_ms), (Kind::Request, 77, 250));
            let call = RequestBody::decode(body).unwrap();
            let request = match operation {
                Operation::Set => {
                    KvRequest::Set(SetRequest::new("key:000000012345", vec![b'x'; 64]))
                }
                Operation::Get => {
                    KvRequest::Get(GetRequest { key: "key:000000012345".into(), revision: 0 })
                }
            };
            assert_eq!(call, RequestBody::from(request));
        }
    }

    #[test]
    fn draws_stay_below_their_bound_and_cover_it() {
        let mut draw = Draw::new(1);
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            seen[draw.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
    }
}
