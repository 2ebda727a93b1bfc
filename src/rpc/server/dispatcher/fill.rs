//! What a [`RequestDispatcher`] says: its answers and pushes are encoded as far as there is room.

use std::cell::LazyCell;

use super::{ConnectionEnd, Outgoing, ProtocolError, RequestDispatcher};
use crate::actor::answer_bytes;
use crate::actor::message::{Done, ReadCapacity, StreamReady};
use crate::environment;
use crate::error::Error;
use crate::model::{CallReply, Reply};
use crate::rpc::codec::{CodecError, encode_bare};
use crate::rpc::frame::Kind;
use crate::rpc::server::output::OutputBuffer;
use crate::store::StoreError;

impl RequestDispatcher {
    /// Has the store fill the next batch of a stream that takes more.
    pub(super) fn notify_ready(&self, ready: Option<StreamReady>) {
        if let Some(ready) = ready {
            // bound: one for each batch
            self.wakeful.store().do_send(ready);
        }
    }

    /// Has the store, once there is room again, go on with what it left unread.
    pub(in crate::rpc::server) fn notify_capacity(&self) {
        if self.owner.buffered.take_paused() {
            // bound: one for each time that something was left unread
            self.wakeful.store().do_send(ReadCapacity(self.owner.id));
            self.wakeful.queue().do_send(ReadCapacity(self.owner.id));
        }
    }

    /// Returns the bytes of the answers that are not encoded yet.
    pub(in crate::rpc::server) fn answer_bytes(&self) -> usize {
        self.answers.iter().map(|(_, answer)| answer_bytes(answer)).sum()
    }

    /// Encodes what there is to say, about `room` bytes of it, of pushes about `push_room`.
    pub(in crate::rpc::server) fn fill(
        &mut self,
        out: &mut OutputBuffer,
        room: usize,
        push_room: usize,
    ) -> Result<(), ConnectionEnd> {
        let full = out.pending().saturating_add(room);
        let push_full = out.pending().saturating_add(push_room);
        self.encode_answers(out, full)?;
        if room > 0 && self.answers.is_empty() {
            for item in self.outbox.take() {
                self.encode_outgoing(out, item)?;
            }
            self.encode_answers(out, full)?;
        }
        while out.pending() < push_full && self.streams.have_more() {
            self.write_push(out)?;
        }
        self.notify_capacity();
        Ok(())
    }

    fn encode_answers(&mut self, out: &mut OutputBuffer, full: usize) -> Result<(), ConnectionEnd> {
        while out.pending() < full
            && let Some((id, answer)) = self.answers.pop_front()
        {
            self.encoder.answer(out, id, answer)?;
        }
        Ok(())
    }

    fn encode_outgoing(
        &mut self,
        out: &mut OutputBuffer,
        item: Outgoing,
    ) -> Result<(), ConnectionEnd> {
        match item {
            Outgoing::Answer(id, outcome) => {
                // A wait that was cancelled meanwhile has its answer already.
                if self.waits.remove(&id).is_some() {
                    self.answers.push_back((id, outcome.map(Done::Waited)));
                }
            }
            Outgoing::Withheld(mut answers) => {
                self.screen(&mut answers);
                let now = LazyCell::new(environment::now);
                for (id, answer) in &answers {
                    if self.jobs.answered(*id, answer, || *now) {
                        self.authorization.answered(answer);
                    } else {
                        self.withheld.end(*id);
                    }
                }
                self.answers.extend(answers);
            }
            Outgoing::Returned(id, serial, result) => {
                // A call that was cancelled meanwhile has its answer already.
                if self.calls.answered(id, serial) {
                    let reply = result.map(Reply::Invoke);
                    let reply = reply.map(CallReply::new);
                    self.answers.push_back((id, reply.map(Done::Reply)));
                }
            }
            Outgoing::Show(id, handle, batch) => {
                self.streams.show(id, handle, batch);
            }
            Outgoing::Goodbye if !self.open => {
                let error = Error::from(StoreError::Stopping { resume: None });
                return Err(ConnectionEnd::Fatal(ProtocolError::Error(error)));
            }
            Outgoing::Goodbye => {
                self.leaving = true;
                if !self.is_json() {
                    encode_bare(out.buffer(), Kind::Goodbye, 0);
                }
            }
            Outgoing::Drained => self.jobs.drained(),
        }
        Ok(())
    }

    /// Writes one frame of a stream's batch.
    fn write_push(&mut self, out: &mut OutputBuffer) -> Result<(), ConnectionEnd> {
        if self.is_json() {
            return self.write_updates(out.buffer());
        }
        let max = self.encoder.frame_bytes_max;
        let written = self.streams.write(|stream, writer| writer.write(out, stream, max));
        self.note_written(written)
    }

    /// Has the store fill the next batch of a stream that has used up one and takes more.
    pub(super) fn note_written(
        &mut self,
        written: Result<Option<StreamReady>, CodecError>,
    ) -> Result<(), ConnectionEnd> {
        let ready = written.map_err(|error| {
            tracing::error!(%error, "a push could not be encoded");
            ConnectionEnd::Gone
        })?;
        self.pushes += 1;
        self.notify_ready(ready);
        Ok(())
    }
}
