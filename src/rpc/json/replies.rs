//! [`Replies`]: converts answers to JSON.

use std::collections::HashMap;

use crate::environment::RandomState;

use super::formatter::{append, append_bytes, append_text};
use super::request::{IdText, no_method, no_service};
use super::shape::{NOT_FOUND, Shape, TIMEOUT};
use super::shown;
use crate::actor::message::Done;
use crate::config::Durability;
use crate::error::{Details, Error, ErrorCode};
use crate::model::{CallReply, KeyValue, Payload, Reply, WaitOutcome};
use crate::rpc::proto::{WirePush, WireReply, WireWelcome};
use crate::store::StoreError;

/// The client's ids of the requests in flight, and the forms of their answers.
///
/// Bounded by `rpc.requests_in_flight_max`, and for waiting ones by the limits of waits, watches
/// and the queue.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    last: u64,
    pending: HashMap<u64, PendingReply, RandomState>,
    /// The pending request for the next items of each watch.
    nexts: HashMap<u64, u64, RandomState>,
    /// The reason why a stream could not be opened, until the watch on it is refused too.
    unopened: Option<(u64, Error)>,
}

#[derive(Debug)]
struct PendingReply {
    id: IdText,
    shape: Shape,
}

impl Replies {
    /// Registers a request; returns a number that is unique on the connection.
    pub(crate) fn begin(&mut self, id: IdText, shape: Shape) -> u64 {
        self.last += 1;
        self.pending.insert(self.last, PendingReply { id, shape });
        self.last
    }

    /// Returns the numbers of the requests with this id of the client.
    pub(crate) fn find(&self, id: &[u8]) -> Vec<u64> {
        let same = self.pending.iter().filter(|(_, pending)| *pending.id == *id);
        same.map(|(number, _)| *number).collect()
    }

    /// Registers a request for the next items of `watch`; returns the id if there already is one.
    pub(crate) fn begin_next(&mut self, watch: u64, id: IdText) -> Result<(), IdText> {
        if self.nexts.contains_key(&watch) {
            return Err(id);
        }
        let number = self.begin(id, Shape::News { watch });
        self.nexts.insert(watch, number);
        Ok(())
    }

    /// Returns true if a request waits for items of `watch`.
    pub(crate) fn has_next(&self, watch: u64) -> bool {
        self.nexts.contains_key(&watch)
    }

    /// Returns the watch whose next items the request `number` waits for.
    pub(crate) fn watch_of(&self, number: u64) -> Option<u64> {
        match self.pending.get(&number)?.shape {
            Shape::News { watch } => Some(watch),
            _ => None,
        }
    }

    pub(crate) fn no_nexts(&self) -> bool {
        self.nexts.is_empty()
    }

    /// Answers the request that waits for items of `watch`; returns true if the watch has ended.
    pub(crate) fn show(&mut self, out: &mut Vec<u8>, watch: u64, push: &WirePush<'_>) -> bool {
        let Some(PendingReply { id, .. }) = self.take_next(watch) else { return false };
        let mut ended = false;
        succeed(out, &id, |out| {
            shown::append(out, push).map_err(|error| {
                ended = true;
                text_of(&error)
            })
        });
        ended
    }

    /// Cancels the request that waits for items of `watch`.
    pub(crate) fn give_up(&mut self, out: &mut Vec<u8>, watch: u64) {
        if let Some(PendingReply { id, .. }) = self.take_next(watch) {
            refuse(out, &id, &text_of(&StoreError::Cancelled.into()));
        }
    }

    /// Cancels all requests that wait for items of a watch.
    pub(crate) fn give_up_all(&mut self, out: &mut Vec<u8>) {
        let watches: Vec<u64> = self.nexts.keys().copied().collect();
        watches.into_iter().for_each(|watch| self.give_up(out, watch));
    }

    fn take_next(&mut self, watch: u64) -> Option<PendingReply> {
        let number = self.nexts.remove(&watch)?;
        self.pending.remove(&number)
    }

    /// Appends the answer to the request `number`, if it is one of the client's.
    pub(crate) fn answer(
        &mut self,
        out: &mut Vec<u8>,
        number: u64,
        answer: Result<Done, Error>,
        waits: Option<Durability>,
    ) {
        if matches!(answer, Ok(Done::Parked(..))) {
            return;
        }
        let Some(PendingReply { id, shape }) = self.pending.remove(&number) else { return };
        match (shape, answer) {
            (Shape::Opening, Err(error)) => self.unopened = Some((number, error)),
            (Shape::Opening, Ok(_)) => {}
            (Shape::Opened { watch }, Err(error)) => {
                let first = self.unopened.take().filter(|(stream, _)| *stream == watch);
                refuse(out, &id, &text_of(&first.map_or(error, |(_, first)| first)));
            }
            (Shape::Invoke(method), Err(error)) => {
                refuse(out, &id, &refused_method(&method, &error));
            }
            (_, Err(error)) => refuse(out, &id, &text_of(&error)),
            (shape, Ok(done)) => succeed(out, &id, |out| write(out, &shape, done, waits)),
        }
    }
}

fn write(
    out: &mut Vec<u8>,
    shape: &Shape,
    done: Done,
    waits: Option<Durability>,
) -> Result<(), String> {
    match (shape, done) {
        (Shape::Value, Done::Reply(CallReply { reply: Reply::Get(get), .. })) => match get.kv {
            Some(kv) => text(out, &kv.value, "the value", "Wakeful.Get"),
            None => Err(NOT_FOUND.to_owned()),
        },
        (Shape::ChangedKey, Done::Waited(outcome)) => match outcome {
            WaitOutcome::Met { event: Some(event), .. } => changed(out, &event.kv),
            // This method waits for changes only, which have an event.
            WaitOutcome::Met { event: None, .. } | WaitOutcome::Timeout { .. } => {
                Err(TIMEOUT.to_owned())
            }
        },
        (Shape::Invoke(_), Done::Reply(CallReply { reply: Reply::Invoke(output), .. })) => {
            match output {
                // Go's clients take null for a broken connection.
                Payload::Json(json) if *json == *b"null" => out.extend_from_slice(b"{}"),
                Payload::Json(json) => out.extend_from_slice(&json),
                Payload::Bincode(bytes) => {
                    append_bytes(out, &bytes).map_err(|it| it.to_string())?
                }
            }
            Ok(())
        }
        (Shape::Opened { watch }, Done::Watching(revision)) => {
            let numbers = format!(r#"{{"watch":{watch},"revision":{revision}}}"#);
            out.extend_from_slice(numbers.as_bytes());
            Ok(())
        }
        (Shape::Plain { durability }, Done::Reply(CallReply { reply, durability: got })) => {
            plain(out, &WireReply::from(&reply), durability.then_some(got))
        }
        (Shape::User, Done::LoggedIn(identity)) => {
            append_text(out, &identity.name);
            Ok(())
        }
        (Shape::Plain { .. }, Done::LoggedIn(identity)) => {
            plain(out, &WireReply::Login((&identity).into()), None)
        }
        (Shape::Plain { durability }, Done::Waited(outcome)) => {
            plain(out, &WireReply::from(&outcome), durability.then_some(waits))
        }
        _ => {
            out.extend_from_slice(b"{}");
            Ok(())
        }
    }
}

/// Appends the reply to a request, with its durability if requested.
#[cfg(feature = "cli")]
pub(crate) fn append_reply(
    out: &mut Vec<u8>,
    reply: &Reply,
    told: Option<Option<Durability>>,
) -> Result<(), String> {
    plain(out, &reply.into(), told)
}

/// Appends the outcome of a wait.
#[cfg(feature = "cli")]
pub(crate) fn append_outcome(out: &mut Vec<u8>, outcome: &WaitOutcome) -> Result<(), String> {
    plain(out, &outcome.into(), None)
}

/// Appends the fields of a native reply, with its durability if requested.
fn plain(
    out: &mut Vec<u8>,
    reply: &WireReply<'_>,
    told: Option<Option<Durability>>,
) -> Result<(), String> {
    let start = out.len();
    let choices = if matches!(reply, WireReply::Job(_)) { 2 } else { 1 };
    append(out, reply, choices).map_err(|error| format!("Internal: {error}"))?;
    let Some(got) = told.filter(|_| out.ends_with(b"}")) else { return Ok(()) };
    out.pop();
    let comma = if out.len() == start + 1 { "" } else { "," };
    out.extend_from_slice(format!("{comma}\"durability\":").as_bytes());
    // Writing to a vector cannot fail, and a name is valid JSON.
    let _ = serde_json::to_writer(&mut *out, &got);
    out.push(b'}');
    Ok(())
}

fn changed(out: &mut Vec<u8>, kv: &KeyValue) -> Result<(), String> {
    text(out, &kv.key, "the key that changed", "Wakeful.Wait")
}

/// Appends bytes as a string; bytes that are not UTF-8 are an error.
fn text(out: &mut Vec<u8>, bytes: &[u8], what: &str, instead: &str) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        format!("InvalidArgument: {what} is not UTF-8, so it cannot be a string; use {instead}")
    })?;
    append_text(out, text);
    Ok(())
}

/// Returns the text of an error for Go's clients. A method's own error is its message only.
pub(crate) fn text_of(error: &Error) -> String {
    let resume = match error.details {
        Details::Resume { revision } if !error.message.contains("resume from") => {
            format!("; resume from revision {revision}")
        }
        _ => String::new(),
    };
    match error.code {
        ErrorCode::MethodFailed => error.message.clone(),
        code => format!("{code}: {}{resume}", error.message),
    }
}

fn refused_method(method: &str, error: &Error) -> String {
    match error.code {
        ErrorCode::ServiceNotFound => no_service(method),
        ErrorCode::MethodNotFound => no_method(method),
        _ => text_of(error),
    }
}

/// Appends a reply with the result that `result` writes, or with its error.
pub(crate) fn succeed(
    out: &mut Vec<u8>,
    id: &[u8],
    result: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
) {
    let start = out.len();
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":");
    match result(out) {
        Ok(()) => out.extend_from_slice(b",\"error\":null}\n"),
        Err(error) => {
            out.truncate(start);
            refuse(out, id, &error);
        }
    }
}

/// Appends a reply with an error only.
pub(crate) fn refuse(out: &mut Vec<u8>, id: &[u8], error: &str) {
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":null,\"error\":");
    append_text(out, error);
    out.extend_from_slice(b"}\n");
}

/// Appends the reply to a hello.
pub(crate) fn hello(out: &mut Vec<u8>, id: &[u8], welcome: &WireWelcome<'_>) {
    succeed(out, id, |out| append(out, welcome, 0).map_err(|error| error.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GetReply, SetReply};

    fn said(shape: Shape, answer: Result<Done, Error>) -> String {
        let mut replies = Replies::default();
        let number = replies.begin(IdText::from_slice(b"[7]"), shape);
        let mut out = Vec::new();
        replies.answer(&mut out, number, answer, None);
        assert!(replies.pending.is_empty());
        String::from_utf8(out).unwrap()
    }

    fn reply(reply: Reply) -> Result<Done, Error> {
        Ok(Done::Reply(CallReply { reply, durability: Some(Durability::Fsync) }))
    }

    fn get(value: Option<&[u8]>) -> Result<Done, Error> {
        let kv = |value: &[u8]| KeyValue {
            key: "a".into(),
            value: value.into(),
            create_revision: 2,
            mod_revision: 2,
            version: 1,
            lease: 0,
        };
        reply(Reply::Get(GetReply { revision: 3, kv: value.map(kv).map(Into::into) }))
    }

    #[test]
    fn g2_a_reply_has_the_id_as_it_came_and_null_for_one_of_result_and_error() {
        let set = SetReply { revision: 5, changed: true, lease: 0, previous: None };
        let set = || reply(Reply::Set(set.clone()));
        assert_eq!(
            said(Shape::Value, get(Some(b"x\"<"))),
            "{\"id\":[7],\"result\":\"x\\\"<\",\"error\":null}\n"
        );
        assert_eq!(
            said(Shape::Value, get(None)),
            "{\"id\":[7],\"result\":null,\"error\":\"not found\"}\n"
        );
        assert!(said(Shape::Value, get(Some(b"\xff"))).contains("not UTF-8"));
        assert_eq!(said(Shape::Empty, set()), "{\"id\":[7],\"result\":{},\"error\":null}\n");
        assert_eq!(
            said(Shape::Plain { durability: true }, set()),
            "{\"id\":[7],\"result\":{\"revision\":5,\"changed\":true,\"lease\":\"0\",\"previous\":null,\
             \"durability\":\"fsync\"},\"error\":null}\n"
        );
        assert_eq!(
            said(Shape::Plain { durability: true }, reply(Reply::EndWatcher)),
            "{\"id\":[7],\"result\":{\"durability\":\"fsync\"},\"error\":null}\n"
        );
        let timeout = Ok(Done::Waited(WaitOutcome::Timeout { revision: 9 }));
        assert_eq!(
            said(Shape::ChangedKey, timeout),
            "{\"id\":[7],\"result\":null,\"error\":\"timeout\"}\n"
        );
        let null = reply(Reply::Invoke(Payload::Json("null".into())));
        let expected = "{\"id\":[7],\"result\":{},\"error\":null}\n";
        assert_eq!(said(Shape::Invoke("A.B".into()), null), expected, "never null");
    }

    #[test]
    fn g2_errors_are_strings() {
        let refused = |code| {
            let text = said(Shape::Invoke("A.B".into()), Err(Error::new(code, "why")));
            let reply: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(reply["result"].is_null());
            reply["error"].as_str().unwrap().to_owned()
        };
        assert_eq!(refused(ErrorCode::ServiceNotFound), "rpc: can't find service A.B");
        assert_eq!(refused(ErrorCode::MethodNotFound), "rpc: can't find method A.B");
        assert_eq!(refused(ErrorCode::MethodFailed), "why");
        assert_eq!(refused(ErrorCode::LimitExceeded), "LimitExceeded: why");
        let stopping = Error::from(StoreError::Stopping { resume: Some(8) });
        assert_eq!(
            text_of(&stopping),
            "Unavailable: the service is stopping; resume from revision 8"
        );
    }

    #[test]
    fn g2_an_id_may_be_in_flight_twice() {
        let mut replies = Replies::default();
        let id = || IdText::from_slice(b"1");
        let numbers = [replies.begin(id(), Shape::Value), replies.begin(id(), Shape::Value)];
        let mut found = replies.find(b"1");
        found.sort_unstable();
        assert_eq!(found, numbers);
        let mut out = Vec::new();
        for number in numbers.into_iter().rev() {
            replies.answer(&mut out, number, get(None), None);
        }
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert!(replies.find(b"1").is_empty());
    }
}
