//! Every limit of `config.rs`: each refusal names the limit and its value.
//!
//! A limit is in one of two tables: with an act that it refuses, or in [`quiet::QUIET`] with the
//! reason why it refuses nothing.

mod doors;
mod journal;
mod links;
mod queue;
mod quiet;
mod store;
mod users;
mod watches;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use wakeful::{Blob, Config, Details, Error, ErrorCode, Jobs, Operations, Wakeful};

use crate::support::body;
use crate::support::within;

type Act = Box<dyn FnOnce(Config) -> LocalBoxFuture<'static, Error>>;

/// An act that a limit refuses, and the expected refusal.
struct Row {
    limit: &'static str,
    value: u64,
    settings: Vec<(&'static str, &'static str)>,
    code: ErrorCode,
    /// Whether the message must contain name and value, too, because operators see nothing else.
    in_words: bool,
    act: Act,
}

impl Row {
    /// Returns a row with an act under a configuration whose `limit` is `set`; refusals show
    /// `value`.
    fn new(
        limit: &'static str,
        set: &'static str,
        value: u64,
        act: impl AsyncFnOnce(Config) -> Error + 'static,
    ) -> Self {
        Self {
            limit,
            value,
            settings: vec![(limit, set)],
            code: ErrorCode::LimitExceeded,
            in_words: false,
            act: Box::new(|config| async move { act(config).await }.boxed_local()),
        }
    }

    /// Returns a row with an act in the process of the service.
    fn inside(
        limit: &'static str,
        set: &'static str,
        value: u64,
        act: impl AsyncFnOnce(&Wakeful) -> Error + 'static,
    ) -> Self {
        Self::new(limit, set, value, async move |config| {
            let wakeful = Wakeful::start(config).unwrap();
            let refusal = act(&wakeful).await;
            wakeful.stop().await;
            refusal
        })
    }

    /// Returns a row with an act of a peer, on a thread that the act may block.
    fn over_tcp(
        limit: &'static str,
        set: &'static str,
        value: u64,
        act: impl FnOnce(SocketAddr) -> Error + Send + 'static,
    ) -> Self {
        Self::inside(limit, set, value, async move |wakeful: &Wakeful| served(wakeful, act).await)
    }

    /// Adds other settings.
    fn with(mut self, settings: &[(&'static str, &'static str)]) -> Self {
        self.settings.extend_from_slice(settings);
        self
    }

    /// Expects `code` in place of `LimitExceeded`.
    fn code(self, code: ErrorCode) -> Self {
        Self { code, ..self }
    }

    /// Expects `InvalidArgument` with name and value in its message, too.
    fn in_words(self) -> Self {
        Self { in_words: true, ..self.code(ErrorCode::InvalidArgument) }
    }

    async fn check(self) {
        let Self { limit, value, settings, code, in_words, act } = self;
        let mut config = Config::new();
        config.rpc.shutdown_grace = Duration::from_millis(200);
        for (name, set) in settings {
            config.set(name, set).unwrap();
        }
        let refusal = within(act(config)).await;
        let Error { message, details, .. } = &refusal;
        assert_eq!(refusal.code, code, "{limit}: {message}");
        if in_words {
            let rest = message.split_once(&format!("{limit} is {value}")).map(|(_, rest)| rest);
            let whole = rest.is_some_and(|rest| !rest.starts_with(|it: char| it.is_ascii_digit()));
            assert!(whole, "{limit} is {value}: {message}");
        }
        let expected = Details::Limit { name: limit.to_owned(), value };
        assert_eq!(*details, expected, "{message}");
        assert!(message.contains(limit), "{limit}: {message}");
    }
}

/// Opens a port, and runs the act of a peer.
async fn served(
    wakeful: &Wakeful,
    act: impl FnOnce(SocketAddr) -> Error + Send + 'static,
) -> Error {
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    tokio::task::spawn_blocking(move || act(addr)).await.unwrap()
}

/// Returns the refusal of a call, which must change nothing.
async fn refusal<T: Debug>(
    wakeful: &Wakeful,
    call: impl Future<Output = Result<T, Error>>,
) -> Error {
    let before = kept(wakeful).await;
    let refusal = within(call).await.expect_err("the limit is passed");
    assert_eq!(kept(wakeful).await, before, "{refusal}");
    refusal
}

/// The contents of a service.
#[derive(Debug, PartialEq)]
struct Kept {
    /// Revision, keys, their bytes and leases.
    store: [u64; 4],
    /// Each topic with its jobs by state, their bytes and the number of jobs ever pushed.
    topics: Vec<(Blob, [u64; 6])>,
    schedules: usize,
}

async fn kept(wakeful: &Wakeful) -> Kept {
    let status = within(wakeful.status()).await.unwrap();
    let topics = within(wakeful.topics()).await.unwrap().into_iter().map(|it| {
        (it.name, [it.ready, it.delayed, it.reserved, it.dead, it.bytes, it.pushed_total])
    });
    Kept {
        store: [status.revision, status.keys, status.bytes, status.leases],
        topics: topics.collect(),
        schedules: within(wakeful.schedules()).await.unwrap().len(),
    }
}

/// Converts a refusal that was read byte by byte.
fn typed(refusal: body::Refusal) -> Error {
    let details = match refusal.details {
        body::Details::Limit { name, value } => Details::Limit { name, value },
        _ => Details::None,
    };
    let code = ErrorCode::from_u16(refusal.code).expect("a code that is known");
    Error::new(code, refusal.message).with_details(details)
}

async fn check(rows: Vec<Row>) {
    for row in rows {
        row.check().await;
    }
}

#[actix_rt::test]
async fn the_store_refuses_in_the_name_of_the_limit_that_is_passed() {
    check(store::rows()).await;
}

#[actix_rt::test]
async fn waits_and_watches_are_refused_in_the_name_of_the_limit_that_is_passed() {
    check(watches::rows()).await;
}

#[actix_rt::test]
async fn the_journal_refuses_in_the_name_of_the_limit_that_is_passed() {
    check(journal::rows()).await;
}

#[actix_rt::test]
async fn the_queue_refuses_in_the_name_of_the_limit_that_is_passed() {
    check(queue::rows()).await;
}

#[actix_rt::test]
async fn ports_and_services_refuse_in_the_name_of_the_limit_that_is_passed() {
    check(doors::rows()).await;
}

#[actix_rt::test]
async fn users_and_logins_are_refused_in_the_name_of_the_limit_that_is_passed() {
    // Other tests count the threads of this process that check passwords.
    let _hashes = crate::auth::embedded::HASHES.lock().await;
    check(users::rows()).await;
}

#[actix_rt::test]
async fn links_are_refused_in_the_name_of_the_limit_that_is_passed() {
    check(links::rows()).await;
}

#[test]
fn every_limit_is_in_one_of_the_tables() {
    let rows = [
        store::rows(),
        watches::rows(),
        journal::rows(),
        queue::rows(),
        doors::rows(),
        users::rows(),
        links::rows(),
    ];
    let refuse: BTreeSet<&str> = rows.iter().flatten().map(|row| row.limit).collect();
    let quiet: BTreeSet<&str> = quiet::QUIET.iter().map(|(name, _)| *name).collect();
    assert_eq!(quiet.len(), quiet::QUIET.len(), "a limit is in the table of the quiet ones twice");
    let both: Vec<_> = refuse.intersection(&quiet).collect();
    assert!(both.is_empty(), "in both tables: {both:?}");
    let known: BTreeSet<&str> = Config::new().entries().iter().map(|(name, _)| *name).collect();
    let told: BTreeSet<&str> = refuse.union(&quiet).copied().collect();
    let missing: Vec<_> = known.difference(&told).collect();
    assert!(
        missing.is_empty(),
        "in no table: {missing:?}; add an act that it refuses to the rows of its part, or the reason \
         why it refuses nothing to QUIET"
    );
    let unknown: Vec<_> = told.difference(&known).collect();
    assert!(unknown.is_empty(), "no limits: {unknown:?}");
}

/// The table of shares lists every limit once, and nothing else.
#[test]
fn the_table_of_shares_is_whole() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n### Shares\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut listed = Vec::new();
    for row in rows {
        let [limits, who, share] =
            row.split(" | ").collect::<Vec<_>>().try_into().expect("three columns");
        assert!(who.len() > 3 && share.len() > 3, "{row}");
        listed.extend(limits.split(", ").map(|limit| limit.trim_matches('`').to_owned()));
    }
    listed.sort_unstable();
    let mut limits: Vec<_> = Config::new().entries().iter().map(|it| it.0.to_owned()).collect();
    limits.sort_unstable();
    assert_eq!(listed, limits);
}
