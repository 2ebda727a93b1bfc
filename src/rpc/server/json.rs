//! [`JsonProtocol`]: the JSON dialect. It has the requests of the native protocol, with ids that the
//! client chooses, and watches that the client asks for each push.

use crate::actor::message::Done;
use crate::config::Durability;
use crate::error::{Error, ErrorCode};
use crate::front::{
    Decoded, End, Fatal, OutputBuffer, Protocol, PushCursor, ReadContext, Received,
    RequestDispatcher, WrittenPush, client_name, not_logged_in,
};
use crate::model::RpcCall;
use crate::rpc::json::{
    self, IdText, JsonCall, JsonRequest, Replies, RequestLimits, Shape, Split, SplitError,
    Splitter, ValueLimits, no_method_among, refuse, succeed, text_of, understand,
};
use crate::store::StoreError;
use crate::stranger_lines::{LineKind, log_stranger};

use super::native::{new_welcome, pushed};
use super::push_frames::write_next;

/// The id of the one watch of a stream.
const WATCH_ID: u64 = 1;

/// The credit of [`RequestDispatcher::allow_one`], which one push uses up.
const ALLOWED: usize = 1;

/// The JSON dialect on one connection.
#[derive(Default)]
pub(crate) struct JsonProtocol {
    /// The state of the incomplete value.
    splitter: Splitter,
    replies: Replies,
    /// The durability of the answers to waits.
    durability: Option<Durability>,
    /// True once the peer has sent a whole object.
    open: bool,
}

impl JsonProtocol {
    pub(super) fn new(durability: Option<Durability>) -> Self {
        Self { durability, ..Self::default() }
    }

    /// Reads one object.
    pub(super) fn read_object<O: From<JsonRequest>>(
        &mut self,
        bytes: &[u8],
        reading: &ReadContext<'_>,
    ) -> Decoded<O> {
        let config = reading.config;
        let bounds =
            ValueLimits { bytes_max: reading.bytes_max(), depth_max: config.json_depth_max };
        match self.splitter.split(bytes, bounds) {
            Ok(Split::Partial { space }) => Decoded::Partial { used: space },
            Ok(Split::Whole { space, end }) => {
                let value = bytes.get(space..end).unwrap_or_default();
                match understand(value, reading.now, RequestLimits::of(config)) {
                    Err(why) => Decoded::Broken(why),
                    Ok(ask) => {
                        self.open = true;
                        let received = Some(Received::Own(ask.into()));
                        Decoded::Item { used: end, received, is_idle: false }
                    }
                }
            }
            Err(SplitError::TooLong) if reading.stranger => {
                Decoded::Broken("JSON longer than rpc.login_frame_bytes_max, before a login")
            }
            Err(error) => Decoded::Broken(error.why()),
        }
    }

    async fn hello(
        &mut self,
        id: &IdText,
        name: &str,
        dispatcher: &mut RequestDispatcher,
        out: &mut OutputBuffer,
    ) -> Result<(), End> {
        let named = match client_name(name) {
            Ok(_) if dispatcher.has_name() => Err("this connection has said hello already"),
            named => named,
        };
        let name = match named {
            Ok(name) => name,
            Err(why) => {
                refuse(out.buffer(), id, &format!("InvalidArgument: {why}"));
                return Ok(());
            }
        };
        tracing::Span::current().record("client", name.as_str());
        dispatcher.meet(Some(name), "");
        let welcome = new_welcome(dispatcher).await?;
        json::hello(out.buffer(), id, &welcome);
        Ok(())
    }

    /// Takes a request, and answers at once if no actor is needed. Before a login, no refusal reveals
    /// which methods exist.
    fn ask(
        &mut self,
        JsonRequest { id, what, for_strangers }: JsonRequest,
        dispatcher: &mut RequestDispatcher,
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        if !for_strangers && dispatcher.is_strange() {
            dispatcher.note_refused();
            refuse(out, &id, &text_of(&not_logged_in()));
            return Ok(());
        }
        match what {
            JsonCall::Call { shape: Shape::Invoke(method), .. } if !dispatcher.offers(&method) => {
                refuse_method(dispatcher, out, &id, &method);
            }
            JsonCall::Call { call, deadline, shape } => {
                let number = self.replies.begin(id, shape);
                return dispatcher.ask(number, deadline, call);
            }
            JsonCall::WatchOpen(watch) => {
                let stream = self.replies.begin(IdText::new(), Shape::Opening);
                let number = self.replies.begin(id, Shape::Opened { watch: stream });
                dispatcher.ask(stream, None, Ok(RpcCall::StreamOpen { window_bytes: 0 }))?;
                let add = RpcCall::WatchAdd { stream, watch_id: WATCH_ID, watch };
                return dispatcher.ask(number, None, Ok(add));
            }
            JsonCall::Refused(why) => {
                dispatcher.note_refused();
                refuse(out, &id, &why);
            }
            JsonCall::NoParams(method) => refuse_method(dispatcher, out, &id, &method),
            JsonCall::Ping | JsonCall::Hello(_) => done(out, &id),
            JsonCall::Goodbye => {
                dispatcher.leave();
                done(out, &id);
            }
            JsonCall::Cancel(cancelled) => {
                self.cancel(&cancelled, dispatcher, out);
                done(out, &id);
            }
            JsonCall::WatchNext(watch) => self.next_updates(watch, id, dispatcher, out),
            JsonCall::WatchClose(watch) => {
                if !dispatcher.has_stream(watch) {
                    refuse(out, &id, &no_watch(watch));
                    return Ok(());
                }
                self.replies.give_up(out, watch);
                dispatcher.cancel(watch);
                done(out, &id);
            }
        }
        Ok(())
    }

    /// Cancels every request whose client-chosen id is `cancelled`.
    fn cancel(&mut self, cancelled: &[u8], dispatcher: &mut RequestDispatcher, out: &mut Vec<u8>) {
        for number in self.replies.find(cancelled) {
            match self.replies.watch_of(number) {
                Some(watch) => self.replies.give_up(out, watch),
                None => dispatcher.cancel(number),
            }
        }
    }

    /// Answers with the next push of a watch, as soon as there is one.
    fn next_updates(
        &mut self,
        watch: u64,
        id: IdText,
        dispatcher: &mut RequestDispatcher,
        out: &mut Vec<u8>,
    ) {
        if !dispatcher.has_stream(watch) {
            refuse(out, &id, &no_watch(watch));
            return;
        }
        if let Err(id) = self.replies.begin_next(watch, id) {
            let why =
                "InvalidArgument: another request already waits for the next events of this watch";
            refuse(out, &id, why);
            return;
        }
        dispatcher.allow_one(watch);
    }
}

impl Protocol for JsonProtocol {
    type Own = JsonRequest;

    #[inline]
    fn read(
        &mut self,
        bytes: &[u8],
        reading: &mut ReadContext<'_>,
    ) -> Result<Decoded<JsonRequest>, Fatal> {
        Ok(self.read_object(bytes, reading))
    }

    fn is_open(&self) -> bool {
        self.open
    }

    fn late(&self) -> Fatal {
        Fatal::Silent("no request within rpc.handshake_timeout")
    }

    fn is_heavy(ask: &JsonRequest) -> bool {
        match &ask.what {
            JsonCall::Call { call: Ok(call), .. } => call.facts().weight.is_heavy(),
            // Searches all requests in flight.
            JsonCall::Cancel(_) => true,
            // Two requests of average weight, as many others.
            JsonCall::WatchOpen(_) | JsonCall::WatchNext(_) | JsonCall::WatchClose(_) => false,
            JsonCall::Call { call: Err(_), .. } | JsonCall::Refused(_) | JsonCall::NoParams(_) => {
                false
            }
            JsonCall::Hello(_) | JsonCall::Ping | JsonCall::Goodbye => false,
        }
    }

    fn is_login(ask: &JsonRequest) -> bool {
        matches!(&ask.what, JsonCall::Call { call: Ok(RpcCall::Login(_)), .. })
    }

    async fn take(
        &mut self,
        ask: JsonRequest,
        dispatcher: &mut RequestDispatcher,
        out: &mut OutputBuffer,
    ) -> Result<(), End> {
        if dispatcher.is_new() {
            dispatcher.watch_alone();
            dispatcher.meet(None, " (json)");
            log_stranger!(dispatcher, LineKind::Connection, DEBUG, "connection open, for JSON");
        }
        match ask {
            JsonRequest { id, what: JsonCall::Hello(name), .. } => {
                self.hello(&id, &name, dispatcher, out).await
            }
            JsonRequest {
                id,
                what: JsonCall::Call { call: Ok(RpcCall::Login(credentials)), shape, .. },
                ..
            } => {
                let number = self.replies.begin(id, shape);
                dispatcher.login(number, credentials).await
            }
            ask => self.ask(ask, dispatcher, out.buffer()),
        }
    }

    fn answer(
        &mut self,
        out: &mut OutputBuffer,
        id: u64,
        answer: Result<Done, Error>,
    ) -> Result<(), End> {
        self.replies.answer(out.buffer(), id, answer, self.durability);
        Ok(())
    }

    /// Answers with one push of a watch, if a request still waits for it.
    fn push(
        &mut self,
        out: &mut OutputBuffer,
        watch: u64,
        cursor: &mut PushCursor,
    ) -> Result<WrittenPush, End> {
        if !self.replies.has_next(watch) {
            return Ok(WrittenPush { bytes: ALLOWED, ended: None, closes: false });
        }
        let mut closes = false;
        let written = pushed(write_next(cursor, |push| {
            closes = self.replies.show(out.buffer(), watch, push);
            Ok(ALLOWED)
        }))?;
        Ok(WrittenPush { closes, ..written })
    }

    fn say_goodbye(&mut self, _: &mut OutputBuffer) {}

    fn refuse(&mut self, _: &mut OutputBuffer, _: &Error, _: bool) {
        // A client would take an error without a request for the answer to another request.
    }

    fn answers_half_closed(&self) -> bool {
        // As Go's server does: `nc` closes its sending side after its input.
        true
    }

    fn hang_up(&mut self, out: &mut OutputBuffer) {
        self.replies.give_up_all(out.buffer());
    }

    /// A client expects events only while it asks for them.
    fn awaits_nothing(&self, _: bool) -> bool {
        self.replies.no_nexts()
    }
}

fn refuse_method(dispatcher: &RequestDispatcher, out: &mut Vec<u8>, id: &IdText, method: &str) {
    let (code, why) = misses(dispatcher, method);
    dispatcher.note_refused_method(method, code);
    refuse(out, id, &why);
}

/// Returns why a call of an application's method is refused: the method does not exist, may not be
/// called, or the call has no params.
fn misses(dispatcher: &RequestDispatcher, method: &str) -> (ErrorCode, String) {
    // A caller without the permission must not learn whether the method exists.
    if let Err(denial) = dispatcher.check_method(method) {
        return (denial.code, text_of(&denial));
    }
    let (service, name) = method.rsplit_once('.').unwrap_or_default();
    let services = dispatcher.services();
    match services.iter().find(|offered| offered.name == service) {
        None => (ErrorCode::ServiceNotFound, format!("rpc: can't find service {method}")),
        Some(offered) if !offered.methods.iter().any(|it| it == name) => {
            // Suggest only methods that the caller may call.
            let known = offered
                .methods
                .iter()
                .filter(|known| dispatcher.check_method(&format!("{service}.{known}")).is_ok());
            (ErrorCode::MethodNotFound, no_method_among(method, name, known))
        }
        Some(_) => (ErrorCode::InvalidArgument, "jsonrpc: request body missing params".to_owned()),
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
