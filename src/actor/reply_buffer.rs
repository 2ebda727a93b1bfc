//! [`ReplyBuffer`]: the output of a connection, while the store appends replies to it.

use super::message::Done;
use crate::error::Error;
use crate::model::CallReply;

/// Minimum size of a value that is shared with the output rather than copied, and of an answer that may
/// hold such a value.
pub(crate) const LARGE_BYTES_MIN: usize = 16 * 1024;

/// How a protocol encodes a reply.
#[derive(Clone, Copy)]
pub(crate) struct ReplyEncoder {
    /// Appends the reply to the request with an id, if its body is not longer than `body_bytes_max`;
    /// returns whether it was.
    pub(crate) encode: fn(&mut Vec<u8>, u64, &CallReply, usize) -> bool,
    pub(crate) body_bytes_max: usize,
}

/// The output of a connection, to which the replies of one message are appended as they are made.
///
/// Bounded as the answers to a message are: by what its connection may keep.
pub(crate) struct ReplyBuffer {
    bytes: Vec<u8>,
    encoder: ReplyEncoder,
    /// An answer was not appended: the later ones are not either, so that answers keep their order.
    is_closed: bool,
}

impl ReplyBuffer {
    pub(crate) fn new(bytes: Vec<u8>, encoder: ReplyEncoder) -> Self {
        Self { bytes, encoder, is_closed: false }
    }

    /// Appends an answer that keeps `bytes` of keys and values, unless it is large, an error, or about
    /// a wait or a watch; returns whether it did.
    pub(super) fn append(&mut self, id: u64, answer: &Result<Done, Error>, bytes: usize) -> bool {
        let ReplyEncoder { encode, body_bytes_max } = self.encoder;
        let is_appended = !self.is_closed
            && bytes < LARGE_BYTES_MIN
            && matches!(answer, Ok(Done::Reply(reply))
                if encode(&mut self.bytes, id, reply, body_bytes_max));
        self.is_closed = !is_appended;
        is_appended
    }

    /// Returns the output.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GetReply, Reply};

    fn encode(out: &mut Vec<u8>, id: u64, _: &CallReply, max: usize) -> bool {
        let fits = max > 0;
        if fits {
            out.push(id as u8);
        }
        fits
    }

    fn buffer(body_bytes_max: usize) -> ReplyBuffer {
        ReplyBuffer::new(vec![0], ReplyEncoder { encode, body_bytes_max })
    }

    fn reply() -> Result<Done, Error> {
        let reply = GetReply { revision: 1, kv: None };
        Ok(Done::Reply(CallReply::new(Reply::Get(reply))))
    }

    #[test]
    fn r1_replies_are_appended_in_order_until_one_is_not() {
        let mut replies = buffer(1);
        assert!(replies.append(1, &reply(), 0) && replies.append(2, &reply(), 100));
        assert!(!replies.append(3, &Ok(Done::WatchCancelled), 0));
        assert!(!replies.append(4, &reply(), 0), "it would overtake the third");
        assert_eq!(replies.into_bytes(), [0, 1, 2]);
    }

    #[test]
    fn s10_large_answers_and_those_that_do_not_fit_are_not_appended() {
        let mut replies = buffer(1);
        assert!(!replies.append(1, &reply(), LARGE_BYTES_MIN));
        let mut replies = buffer(0);
        assert!(!replies.append(1, &reply(), 0));
        assert_eq!(replies.into_bytes(), [0]);
    }
}
