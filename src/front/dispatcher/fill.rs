//! The output of a [`RequestDispatcher`]: encodes answers and pushes while there is room.

use std::cell::LazyCell;

use super::{End, Fatal, Outgoing, Protocol, RequestDispatcher};
use crate::actor::answer_bytes;
use crate::actor::message::{CloseStream, Done, ReadCapacity, StreamReady};
use crate::environment;
use crate::error::Error;
use crate::front::output::OutputBuffer;
use crate::model::{CallReply, Reply};
use crate::store::StoreError;

impl RequestDispatcher {
    /// Notifies the store of a stream that takes another batch.
    pub(super) fn notify_ready(&self, ready: Option<StreamReady>) {
        if let Some(ready) = ready {
            // bound: one for each batch
            self.wakeful.store().do_send(ready);
        }
    }

    /// Notifies the store, once there is room again, of streams that it left unread.
    pub(in crate::front) fn notify_capacity(&self) {
        if self.owner.buffered.take_paused() {
            // bound: one for each time that something was left unread
            self.wakeful.store().do_send(ReadCapacity(self.owner.id));
            self.wakeful.queue().do_send(ReadCapacity(self.owner.id));
        }
    }

    /// Returns the bytes of the answers that are not encoded yet.
    pub(in crate::front) fn answer_bytes(&self) -> usize {
        self.answers.iter().map(|(_, answer)| answer_bytes(answer)).sum()
    }

    /// Encodes answers and pushes, about `room` bytes in total and about `push_room` of pushes.
    pub(in crate::front) fn fill<W: Protocol>(
        &mut self,
        protocol: &mut W,
        out: &mut OutputBuffer,
        room: usize,
        push_room: usize,
    ) -> Result<(), End> {
        let full = out.pending().saturating_add(room);
        let push_full = out.pending().saturating_add(push_room);
        self.encode_answers(protocol, out, full)?;
        if room > 0 && self.answers.is_empty() {
            for item in self.outbox.take() {
                self.encode_outgoing(protocol, out, item)?;
            }
            self.encode_answers(protocol, out, full)?;
        }
        while out.pending() < push_full && self.streams.have_more() {
            self.write_push(protocol, out)?;
        }
        self.notify_capacity();
        Ok(())
    }

    fn encode_answers<W: Protocol>(
        &mut self,
        protocol: &mut W,
        out: &mut OutputBuffer,
        full: usize,
    ) -> Result<(), End> {
        while out.pending() < full
            && let Some((id, answer)) = self.answers.pop_front()
        {
            // The answer to a parked wait comes later.
            if !matches!(answer, Ok(Done::Parked(..))) {
                self.log.answered(id, answer.as_ref().err());
            }
            protocol.answer(out, id, answer)?;
        }
        Ok(())
    }

    fn encode_outgoing<W: Protocol>(
        &mut self,
        protocol: &mut W,
        out: &mut OutputBuffer,
        item: Outgoing,
    ) -> Result<(), End> {
        match item {
            Outgoing::Answer(id, outcome) => {
                // A wait that was cancelled meanwhile has been answered.
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
                        self.deferred.end(*id);
                    }
                }
                self.answers.extend(answers);
            }
            Outgoing::Returned(id, serial, result) => {
                // A call that was cancelled meanwhile has been answered.
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
                return Err(End::Fatal(Fatal::Error(error)));
            }
            Outgoing::Goodbye => {
                self.leaving = true;
                protocol.say_goodbye(out);
            }
            Outgoing::Drained => self.jobs.drained(),
        }
        Ok(())
    }

    /// Writes one part of a stream's batch, and notifies the store when the batch is used up.
    fn write_push<W: Protocol>(
        &mut self,
        protocol: &mut W,
        out: &mut OutputBuffer,
    ) -> Result<(), End> {
        let mut over = None;
        let ready = self.streams.write(|stream, cursor| {
            let written = protocol.push(out, stream, cursor)?;
            over = written.closes.then_some(stream);
            Ok(written)
        })?;
        self.pushes += 1;
        self.notify_ready(ready);
        if let Some(stream) = over.and_then(|stream| self.streams.close(stream)) {
            // bound: one for each stream that was opened
            self.wakeful.store().do_send(CloseStream(stream));
        }
        Ok(())
    }
}
