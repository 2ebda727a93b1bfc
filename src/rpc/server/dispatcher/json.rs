//! JSON in the [`RequestDispatcher`]: the same requests under names of the client's own, and watches that
//! show what is new when they are asked.

use super::{ConnectionEnd, RequestDispatcher};
use crate::actor::message::CloseStream;
use crate::error::ErrorCode;
use crate::model::{Invocation, Payload, Request};
use crate::rpc::json::{
    IdText, JsonCall, JsonRequest, Shape, no_method_among, refuse, succeed, text_of,
};
use crate::rpc::proto::RpcCall;
use crate::rpc::server::authorization::not_logged_in;
use crate::rpc::server::push_writer::WrittenFrame;
use crate::store::StoreError;

/// Of the one watch of a stream.
const WATCH_ID: u64 = 1;

/// What [`Streams::allow_one`](super::Streams::allow_one) allows, used up by one push.
const ALLOWED: usize = 1;

impl RequestDispatcher {
    /// The peer has begun with JSON.
    pub(in crate::rpc::server) fn speak_json(&mut self) {
        self.encoder.json = Some(Box::default());
        self.meet(None);
    }

    pub(in crate::rpc::server) fn is_json(&self) -> bool {
        self.encoder.json.is_some()
    }

    /// Notes a login, which is to be done next; gives it a number.
    pub(in crate::rpc::server) fn begin_login(&mut self, id: IdText, shape: Shape) -> Option<u64> {
        self.encoder.json.as_mut().map(|json| json.begin(id, shape))
    }

    /// Takes a request; what needs no store is answered at once. A stranger is told nothing, not even
    /// what there is no such thing as.
    pub(in crate::rpc::server) fn ask_json(
        &mut self,
        JsonRequest { id, what, for_strangers }: JsonRequest,
        out: &mut Vec<u8>,
    ) -> Result<(), ConnectionEnd> {
        if !for_strangers && self.is_strange() {
            if self.may_log_request() {
                self.encoder.log.refused();
            }
            refuse(out, &id, &text_of(&not_logged_in()));
            return Ok(());
        }
        let Some(json) = &mut self.encoder.json else { return Ok(()) };
        match what {
            JsonCall::Call { shape: Shape::Invoke(method), .. }
                if !self.wakeful.methods().offers(&method) =>
            {
                self.refuse_method(out, &id, &method);
            }
            JsonCall::Call { call, deadline, shape } => {
                let number = json.begin(id, shape);
                return self.ask(number, deadline, call);
            }
            JsonCall::WatchOpen(watch) => {
                let stream = json.begin(IdText::new(), Shape::Opening);
                let number = json.begin(id, Shape::Opened { watch: stream });
                self.ask(stream, None, Ok(RpcCall::StreamOpen { window_bytes: 0 }))?;
                let add = RpcCall::WatchAdd { stream, watch_id: WATCH_ID, watch };
                return self.ask(number, None, Ok(add));
            }
            JsonCall::Refused(why) => {
                if self.may_log_request() {
                    self.encoder.log.refused();
                }
                refuse(out, &id, &why);
            }
            JsonCall::NoParams(method) => {
                self.refuse_method(out, &id, &method);
            }
            JsonCall::Ping | JsonCall::Hello(_) => done(out, &id),
            JsonCall::Goodbye => {
                self.leave();
                done(out, &id);
            }
            JsonCall::Cancel(cancelled) => {
                self.cancel_json(&cancelled, out);
                done(out, &id);
            }
            JsonCall::WatchNext(watch) => self.next_updates(watch, id, out),
            JsonCall::WatchClose(watch) => {
                if self.streams.handle(watch).is_none() {
                    refuse(out, &id, &no_watch(watch));
                    return Ok(());
                }
                json.give_up(out, watch);
                self.cancel(watch);
                done(out, &id);
            }
        }
        Ok(())
    }

    fn refuse_method(&mut self, out: &mut Vec<u8>, id: &IdText, method: &str) {
        let (code, why) = self.misses(method);
        if self.may_log_request() {
            self.encoder.log.refused_method(method, code);
        }
        refuse(out, id, &why);
    }

    /// What a call of a service that is not Wakeful's own is told, if that is not there or the call has
    /// no params.
    fn misses(&mut self, method: &str) -> (ErrorCode, String) {
        // Whoever may not call it is not told whether it is there.
        let argument = Payload::Json("null".into());
        let invocation = Invocation { method: method.to_owned(), argument };
        if let Err(denial) = self.authorization.check(&RpcCall::from(Request::Invoke(invocation))) {
            return (denial.code, text_of(&denial));
        }
        let (service, name) = method.rsplit_once('.').unwrap_or_default();
        let services = self.wakeful.methods().services();
        match services.iter().find(|offered| offered.name == service) {
            None => (ErrorCode::ServiceNotFound, format!("rpc: can't find service {method}")),
            Some(offered) if !offered.methods.iter().any(|it| it == name) => {
                // Those that the caller may call.
                let known = offered.methods.iter().filter(|known| {
                    let method = format!("{service}.{known}");
                    let argument = Payload::Json("null".into());
                    let invocation = Invocation { method, argument };
                    self.authorization.check(&RpcCall::from(Request::Invoke(invocation))).is_ok()
                });
                (ErrorCode::MethodNotFound, no_method_among(method, name, known))
            }
            Some(_) => {
                (ErrorCode::InvalidArgument, "jsonrpc: request body missing params".to_owned())
            }
        }
    }

    /// Gives up every request that its client calls so.
    fn cancel_json(&mut self, cancelled: &[u8], out: &mut Vec<u8>) {
        let Some(json) = &mut self.encoder.json else { return };
        for number in json.find(cancelled) {
            match json.watch_of(number) {
                Some(watch) => json.give_up(out, watch),
                None => self.cancelled.push(number),
            }
        }
    }

    /// Answers with what is new on a watch, as soon as there is anything.
    fn next_updates(&mut self, watch: u64, id: IdText, out: &mut Vec<u8>) {
        let Some(json) = &mut self.encoder.json else { return };
        if self.streams.handle(watch).is_none() {
            refuse(out, &id, &no_watch(watch));
            return;
        }
        if let Err(id) = json.begin_next(watch, id) {
            let why = "InvalidArgument: somebody asks for the next news of this watch already";
            refuse(out, &id, why);
            return;
        }
        let ready = self.streams.allow_one(watch);
        self.notify_ready(ready);
    }

    /// Answers with one push of the watch whose turn it is, if its news are still asked for.
    pub(super) fn write_updates(&mut self, out: &mut Vec<u8>) -> Result<(), ConnectionEnd> {
        let Some(json) = &mut self.encoder.json else { return Ok(()) };
        let mut over = None;
        let written = self.streams.write(|watch, writer| {
            if !json.has_next(watch) {
                return Ok(WrittenFrame { body_bytes: ALLOWED, ended: None });
            }
            writer.write_by(|push| {
                over = json.show(out, watch, push).then_some(watch);
                Ok(ALLOWED)
            })
        });
        self.note_written(written)?;
        if let Some(stream) = over.and_then(|watch| self.streams.close(watch)) {
            // bound: one for each stream that was opened
            self.wakeful.store().do_send(CloseStream(stream));
        }
        Ok(())
    }

    /// Whether the peer waits for nothing that a watch may show. In JSON, whoever does not ask for
    /// it does not wait.
    pub(super) fn awaits_no_updates(&self) -> bool {
        match &self.encoder.json {
            Some(json) => json.no_nexts(),
            None => self.streams.are_idle(),
        }
    }

    /// The peer sends nothing more: what does not wait is still answered, what waits is over.
    pub(in crate::rpc::server) fn hang_up(&mut self, out: &mut Vec<u8>) {
        self.leaving = true;
        self.hung_up = true;
        self.cancelled.extend(self.waits.keys().copied().chain(self.streams.ids()));
        self.cancelled.extend(self.jobs.parked());
        if let Some(json) = &mut self.encoder.json {
            for watch in self.streams.ids() {
                json.give_up(out, watch);
            }
        }
    }
}

fn done(out: &mut Vec<u8>, id: &[u8]) {
    succeed(out, id, |out| {
        out.extend_from_slice(b"{}");
        Ok(())
    });
}

fn no_watch(watch: u64) -> String {
    format!("WatchNotFound: {}", StoreError::WatchNotFound(watch))
}
