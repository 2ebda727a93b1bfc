//! S3: for any concurrent requests, some order of them explains every answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};
use wakeful::{
    Client, Compare, CompareOp, CompareTarget, Error, ErrorCode, KeyRange, Operations, SetRequest,
    TxnOp, TxnRequest,
};

use super::proxy::Proxy;
use super::register::{Op, Register, Ret};
use super::{config, connect, seeds, thread, within};
use crate::process::Server;

const KEYS: [&str; 3] = ["x", "y", "z"];

/// One register for each key; the lock orders invocations and returns.
type History = Arc<Mutex<BTreeMap<&'static str, LinearizabilityTester<u64, Register>>>>;

fn new_history() -> History {
    let tester = || LinearizabilityTester::new(Register::default());
    Arc::new(Mutex::new(KEYS.iter().map(|key| (*key, tester())).collect()))
}

fn assert_linearizable(history: &History) {
    for (key, tester) in history.lock().iter() {
        assert!(tester.is_consistent(), "{key} is not linearizable: {tester:?}");
    }
}

/// Executes one operation and records it. If its outcome is unknown, no return is recorded: the
/// tester then allows both outcomes.
async fn step(
    client: &Client,
    history: &History,
    who: u64,
    key: &'static str,
    op: Op,
) -> Result<(), Error> {
    let invoked = history.lock().get_mut(key).unwrap().on_invoke(who, op.clone()).map(|_| ());
    invoked.unwrap();
    let ret = perform(client, key, &op).await?;
    let returned = history.lock().get_mut(key).unwrap().on_return(who, ret).map(|_| ());
    returned.unwrap();
    Ok(())
}

async fn perform(client: &Client, key: &str, op: &Op) -> Result<Ret, Error> {
    Ok(match *op {
        Op::Set(value) => {
            client.set(SetRequest::new(key, value.to_string())).await?;
            Ret::Set
        }
        Op::Get => {
            let kv = client.get(key).await?.kv;
            Ret::Got(kv.map(|kv| kv.value.to_string().parse().unwrap()))
        }
        Op::Swap(expected, value) => {
            let target = match expected {
                Some(value) => CompareTarget::Value(value.to_string().into()),
                None => CompareTarget::Version(0),
            };
            let range = KeyRange::key(key);
            let txn = TxnRequest {
                compares: vec![Compare { range, op: CompareOp::Equal, target }],
                success: vec![TxnOp::Set(SetRequest::new(key, value.to_string()))],
                failure: Vec::new(),
            };
            Ret::Swapped(client.txn(txn).await?.succeeded)
        }
    })
}

/// Draws the next operation of a client. Values are never reused; swaps often guess right.
fn draw(rng: &mut StdRng, value: u64, seen: Option<u64>) -> (&'static str, Op) {
    let key = KEYS[rng.random_range(0..KEYS.len())];
    let op = match rng.random_range(0..10) {
        0..=2 => Op::Set(value),
        3..=6 => Op::Get,
        _ => Op::Swap(seen.filter(|_| rng.random_bool(0.8)), value),
    };
    (key, op)
}

#[tokio::test]
async fn s3_concurrent_histories_are_linearizable() {
    for seed in seeds() {
        eprintln!("seed {seed}");
        let server = Server::start();
        let history = new_history();
        let shared = server.addr().to_owned();
        let threads: Vec<_> = (0..4_u64)
            .map(|who| {
                let (addr, history) = (shared.clone(), Arc::clone(&history));
                thread(move || async move {
                    let client = connect(&addr).await;
                    let mut rng = StdRng::seed_from_u64(seed * 100 + who);
                    let mut seen = None;
                    for nth in 0..40 {
                        let (key, op) = draw(&mut rng, who * 1_000 + nth, seen);
                        if let Op::Set(value) = op {
                            seen = Some(value);
                        }
                        within(step(&client, &history, who, key, op)).await.unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_linearizable(&history);
    }
}

#[tokio::test]
async fn s3_histories_with_lost_answers_are_linearizable() {
    for seed in seeds() {
        let server = Server::start();
        let history = new_history();
        let proxy = Proxy::start(server.addr(), seed, 1_500).await;
        let clients = (0..3_u64).map(|who| {
            let history = Arc::clone(&history);
            let addr = proxy.addr();
            async move {
                let client = loop {
                    match Client::connect_with(config(addr)).await {
                        Ok(client) => break client,
                        Err(error) => assert_eq!(error.code, ErrorCode::Unreachable),
                    }
                };
                let mut rng = StdRng::seed_from_u64(seed * 100 + who);
                let mut incarnation = who;
                for nth in 0..20 {
                    let (key, op) = draw(&mut rng, who * 1_000 + nth, None);
                    if let Err(error) = step(&client, &history, incarnation, key, op).await {
                        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
                        // An operation that may still be in progress stays with its incarnation.
                        incarnation += 100;
                    }
                }
            }
        });
        within(futures_util::future::join_all(clients)).await;
        assert_linearizable(&history);
        assert!(proxy.cuts() > 0);
    }
}

#[tokio::test]
async fn s3_the_check_finds_a_stale_read() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let history = new_history();
    within(step(&client, &history, 0, "x", Op::Set(1))).await.unwrap();
    within(step(&client, &history, 1, "x", Op::Set(2))).await.unwrap();
    within(step(&client, &history, 0, "x", Op::Get)).await.unwrap();
    assert_linearizable(&history);
    // The same, but with a read that answers as if the second set had not happened.
    let mut stale = history.lock().get("x").unwrap().clone();
    stale.on_invoke(1, Op::Get).unwrap();
    stale.on_return(1, Ret::Got(Some(1))).unwrap();
    assert!(!stale.is_consistent());
    // And with a swap that reports a value that was already replaced.
    let mut lost = history.lock().get("x").unwrap().clone();
    lost.on_invoke(1, Op::Swap(Some(1), 3)).unwrap();
    lost.on_return(1, Ret::Swapped(true)).unwrap();
    assert!(!lost.is_consistent());
}

#[tokio::test]
async fn s3_revisions_go_only_forward_and_answers_are_those_of_their_revision() {
    // The history is too long to search all its orders; the revisions give the real one.
    let server = Server::start();
    let threads: Vec<_> = (0..3_u64)
        .map(|who| {
            let addr = server.addr().to_owned();
            thread(move || async move {
                let client = connect(&addr).await;
                let mut rng = StdRng::seed_from_u64(who);
                let mut newest = 0;
                let mut answers = Vec::new();
                for nth in 0..300 {
                    let (key, op) = draw(&mut rng, who * 1_000 + nth, None);
                    let revision = match op {
                        Op::Get => {
                            let reply = within(client.get(key)).await.unwrap();
                            answers.push((key, reply.revision, reply.kv));
                            reply.revision
                        }
                        Op::Set(value) | Op::Swap(_, value) => {
                            let set = SetRequest::new(key, value.to_string());
                            let revision = within(client.set(set)).await.unwrap().revision;
                            assert!(revision > newest, "a write took an old revision");
                            revision
                        }
                    };
                    assert!(revision >= newest, "{revision} after {newest}");
                    newest = revision;
                }
                for (key, revision, kv) in answers {
                    assert_eq!(within(client.get_at(key, revision)).await.unwrap().kv, kv);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
