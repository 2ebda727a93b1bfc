//! [`Encoder`]: turns answers into frames.

use super::connection::ConnectionEnd;
use super::large_values::large_values;
use super::output::OutputBuffer;
use super::request_log::RequestLog;
use crate::actor::message::Done;
use crate::config::Durability;
use crate::error::{Details, Error, ErrorCode};
use crate::handle::Wakeful;
use crate::model::{Blob, CallReply};
use crate::rpc::codec::{CodecError, encode_frame};
use crate::rpc::frame::{Header, Kind};
use crate::rpc::json::Replies;
use crate::rpc::proto::{WireError, WirePush, WireReply, durability_byte};

/// What all answers of a connection are encoded with.
pub(super) struct Encoder {
    pub(super) frame_bytes_max: usize,
    /// Of what waits show.
    durability: Option<Durability>,
    /// Of a connection that speaks JSON.
    pub(super) json: Option<Box<Replies>>,
    /// Every answer passes here.
    pub(super) log: RequestLog,
}

impl Encoder {
    pub(super) fn new(wakeful: &Wakeful) -> Self {
        let frame_bytes_max = wakeful.rpc().frame_bytes_max;
        let log = RequestLog::default();
        Self { frame_bytes_max, durability: wakeful.durability(), json: None, log }
    }

    /// Appends the answer to the request `id`, in one frame.
    pub(super) fn answer(
        &mut self,
        out: &mut OutputBuffer,
        id: u64,
        answer: Result<Done, Error>,
    ) -> Result<(), ConnectionEnd> {
        self.log.answered(id, &answer);
        if let Some(json) = &mut self.json {
            json.answer(out.buffer(), id, answer, self.durability);
            return Ok(());
        }
        let values = answer.as_ref().map(large_values).unwrap_or_default();
        match answer {
            Ok(Done::Reply(CallReply { reply, durability })) => {
                self.reply(out, id, durability, &WireReply::from(&reply), &values)
            }
            Ok(Done::Waited(outcome)) => {
                let durability = self.durability;
                self.reply(out, id, durability, &WireReply::from(&outcome), &values)
            }
            Ok(Done::Parked(_, None)) => Ok(()),
            Ok(Done::Parked(_, Some(revision))) => {
                let parked = WirePush::Parked { revision };
                framed(encode_frame(out.buffer(), Kind::Push, id, 0, &parked, self.frame_bytes_max))
            }
            Ok(Done::StreamOpened(_)) => self.reply(out, id, None, &WireReply::StreamOpen, &[]),
            Ok(Done::Watching(revision)) => {
                self.reply(out, id, None, &WireReply::WatchAdd { revision }, &[])
            }
            Ok(Done::LoggedIn(identity)) => {
                self.reply(out, id, None, &WireReply::Login((&identity).into()), &[])
            }
            Ok(Done::WatchCancelled) => self.reply(out, id, None, &WireReply::WatchCancel, &[]),
            Err(error) => self.error(out.buffer(), id, &error),
        }
    }

    fn reply(
        &self,
        out: &mut OutputBuffer,
        id: u64,
        durability: Option<Durability>,
        reply: &WireReply<'_>,
        values: &[Blob],
    ) -> Result<(), ConnectionEnd> {
        let durability = durability_byte(durability);
        let header = Header { durability, ..Header::bare(Kind::Reply, id) };
        match out.frame(header, reply, self.frame_bytes_max, values) {
            Err(CodecError::TooLarge { bytes, max }) => {
                // The limits of the store are checked to make this impossible.
                tracing::error!(bytes, max, "a reply does not fit in a frame");
                let message = format!("the reply of {bytes} bytes does not fit in a frame");
                let name = "rpc.frame_bytes_max".to_owned();
                let details = Details::Limit { name, value: max as u64 };
                let error = Error::new(ErrorCode::Internal, message).with_details(details);
                self.error(out.buffer(), id, &error)
            }
            encoded => framed(encoded),
        }
    }

    fn error(&self, out: &mut Vec<u8>, id: u64, error: &Error) -> Result<(), ConnectionEnd> {
        let wire = WireError::from(error);
        framed(encode_frame(out, Kind::Error, id, 0, &wire, self.frame_bytes_max))
    }
}

/// Our own bodies encode; one that does not is a defect that ends this connection alone.
fn framed(encoded: Result<usize, CodecError>) -> Result<(), ConnectionEnd> {
    encoded.map(|_| ()).map_err(|error| {
        tracing::error!(%error, "a frame could not be encoded");
        ConnectionEnd::Gone
    })
}
