//! Transcripts: a command line, its requests to the store, its output, and its exit status.

mod awaiting;
mod backups;
mod jobs;
mod keys;
mod operators;
mod pushes;
mod services;
mod topics;
mod usage;

use std::collections::VecDeque;
use std::sync::Arc;

use expect_test::{Expect, expect};
use futures_util::stream;
use parking_lot::Mutex;

use super::*;
use crate::{
    Blob, CallOptions, CallReply, CompactReply, DeleteReply, Details, ErrorCode, Event, GetReply,
    KeyRange, KeyValue, LeaseKeysReply, LeaseListReply, LeaseReply, LeaseTimeToLiveReply,
    Operations, RangeReply, Reply, Request, Revision, SetReply, StatusReply, StoreRequest,
    TxnReply, WaitOutcome, WaitRequest, WatchItem, WatchRequest, WatcherInfo, WatcherKind,
    WatchersReply,
};

/// The next answer of the store.
enum Answer {
    Reply(Reply),
    Wait(WaitOutcome),
    Watch(Vec<Result<WatchItem, Error>>),
    Refusal(Error),
}

/// A store that gives scripted answers, and records its requests.
struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn next(&self, asked: String) -> Result<Answer, Error> {
        self.asked.lock().push(asked);
        match self.answers.lock().pop_front() {
            Some(Answer::Refusal(error)) => Err(error),
            Some(answer) => Ok(answer),
            None => Err(Error::new(ErrorCode::Internal, "the script is over")),
        }
    }
}

/// Returns a request in words.
fn told(request: &Request) -> String {
    match request {
        Request::Store(StoreRequest::Kv(request)) => format!("{request:?}"),
        Request::Store(StoreRequest::Hub(request)) => format!("{request:?}"),
        Request::Store(StoreRequest::Files(request)) => format!("{request:?}"),
        Request::Node(request) => format!("{request:?}"),
        Request::Job(_) | Request::Invoke(_) => format!("{request:?}"),
    }
}

impl Operations for Scripted {
    type Watch = stream::Iter<std::vec::IntoIter<Result<WatchItem, Error>>>;

    async fn call_with(&self, request: Request, options: CallOptions) -> Result<CallReply, Error> {
        let CallOptions { idempotency: None, durability } = options else {
            panic!("no command draws idempotency keys");
        };
        let asked = durability.map_or_else(String::new, |level| format!(" as {level:?}"));
        match self.next(format!("{}{asked}", told(&request)))? {
            // The requested durability is the one reported.
            Answer::Reply(reply) => Ok(CallReply { reply, durability }),
            _ => panic!("the script has no reply here"),
        }
    }

    async fn wait(&self, request: WaitRequest) -> Result<WaitOutcome, Error> {
        match self.next(format!("{request:?}"))? {
            Answer::Wait(outcome) => Ok(outcome),
            _ => panic!("the script has no outcome here"),
        }
    }

    async fn watch(&self, request: WatchRequest) -> Result<Self::Watch, Error> {
        match self.next(format!("{request:?}"))? {
            Answer::Watch(items) => Ok(stream::iter(items)),
            _ => panic!("the script has no watch here"),
        }
    }
}

/// Splits `line` at blanks; '' is an empty argument.
fn parse(line: &str) -> Result<Cli, clap::Error> {
    let arguments = line.split(' ').map(|word| if word == "''" { "" } else { word });
    Cli::try_parse_from(std::iter::once("wakeful").chain(arguments))
}

fn check(line: &str, answers: impl IntoIterator<Item = Answer>, expected: Expect) {
    let cli = parse(line).unwrap();
    let store =
        Scripted { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() };
    let json = cli.common.json;
    let mut out = Output::memory(json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(cli.command.run(&store, &mut out));
    let mut transcript = String::new();
    for asked in store.asked.into_inner() {
        transcript += &format!("> {asked}\n");
    }
    transcript += &out.printed();
    let exit = result.unwrap_or_else(|failure| {
        transcript += &failure.line(json).unwrap_or_default();
        transcript += "\n";
        failure.exit()
    });
    transcript += &format!("exit {}\n", exit.code());
    expected.assert_eq(&transcript);
}

fn kv(key: &str, value: &str, revision: Revision) -> Arc<KeyValue> {
    Arc::new(KeyValue {
        key: key.into(),
        value: value.into(),
        create_revision: 2,
        mod_revision: revision,
        version: revision - 1,
        lease: 0,
    })
}

fn put(key: &str, value: &str, revision: Revision) -> Event {
    Event { kv: kv(key, value, revision), previous: None }
}

fn delete(key: &str, revision: Revision) -> Event {
    Event { kv: Arc::new(KeyValue::tombstone(key.into(), revision)), previous: None }
}

fn page(revision: Revision, kvs: Vec<Arc<KeyValue>>, more: bool) -> Answer {
    let count = kvs.len() as u64;
    let next = kvs.last().filter(|_| more).map(|last| last.key.clone());
    Answer::Reply(Reply::Range(RangeReply { revision, kvs, more, count, next }))
}
