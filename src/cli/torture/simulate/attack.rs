//! [`attack`]: clients that ask for as much as they may, and more.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::judge::RANGES_MAX;
use super::wire::Network;
use crate::rpc::codec::encode_frame;
use crate::rpc::frame::{HEADER_BYTES, Kind, PREFACE};
use crate::rpc::proto::{WireCall, WireHello, WireRequest};
use crate::{
    CallOptions, Client, ClientConfig, Jobs, KeyRange, KvRequest, Operations, PushOptions,
    RangeRequest, ReserveRequest, SetRequest, TxnOp, TxnRequest, WaitRequest, WatchRequest,
};

/// Number of requests that an attacker sends at once.
const AT_ONCE: usize = 40;

/// Maximum duration of an attack, milliseconds.
const LASTS_MS_MAX: u64 = 60;

/// Maximum number of bytes of garbage at once.
const GARBAGE_MAX: usize = 4 * 1024;

/// Keys that attackers write: promises are checked on the keys of others.
const KEYS: &str = "attack/";

/// The topic of attackers.
const TOPIC: &str = "attack";

/// An attack.
#[derive(Debug, Clone, Copy)]
enum Attack {
    Ranges,
    Waits,
    Streams,
    Reserves,
    Promises,
    Jobs,
    Leases,
    Garbage,
    Bodies,
    Half,
    Deaf,
    Pings,
}

const ATTACKS: [Attack; 12] = [
    Attack::Ranges,
    Attack::Waits,
    Attack::Streams,
    Attack::Reserves,
    Attack::Promises,
    Attack::Jobs,
    Attack::Leases,
    Attack::Garbage,
    Attack::Bodies,
    Attack::Half,
    Attack::Deaf,
    Attack::Pings,
];

/// Makes one attack after another, forever.
pub(super) async fn attack(network: Network, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    loop {
        let which = chance.random_range(0..ATTACKS.len());
        let Some(attack) = ATTACKS.get(which) else { continue };
        strike(*attack, &network, &mut chance).await;
        tokio::time::sleep(Duration::from_millis(chance.random_range(1..=20))).await;
    }
}

async fn strike(attack: Attack, network: &Network, chance: &mut StdRng) {
    let lasts = Duration::from_millis(chance.random_range(1..=LASTS_MS_MAX));
    let raw = matches!(
        attack,
        Attack::Garbage | Attack::Bodies | Attack::Half | Attack::Deaf | Attack::Pings
    );
    // The result does not matter: the test is that other clients are served.
    if raw {
        let Ok(mut socket) = network.connect("an attacker") else { return };
        let bytes = bytes_of(attack, chance);
        let struck = async {
            socket.write_all(&bytes).await?;
            match attack {
                Attack::Deaf => {}
                Attack::Half if chance.random_bool(0.5) => socket.shutdown().await?,
                _ => hear(&mut socket).await?,
            }
            std::future::pending::<std::io::Result<()>>().await
        };
        let _ = tokio::time::timeout(lasts, struck).await;
    } else {
        let config =
            ClientConfig { name: "an attacker".into(), ..ClientConfig::new("simulated:1") };
        let Ok(client) = Client::over(network.opener("an attacker"), config).await else { return };
        let _ = tokio::time::timeout(lasts, demand(attack, client, chance)).await;
    }
}

/// Reads until the server closes the connection.
async fn hear(socket: &mut DuplexStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 1024];
    while socket.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Sends valid requests that ask for much.
async fn demand(attack: Attack, client: Client, chance: &mut StdRng) {
    match attack {
        Attack::Ranges => {
            let calls: Vec<_> = (0..AT_ONCE).map(|_| client.go(costly(chance))).collect();
            for call in calls {
                let _ = call.await;
            }
        }
        Attack::Waits => {
            let wait = || WaitRequest::new(KeyRange::prefix("attack/none"));
            let waits: Vec<_> = (0..AT_ONCE).map(|_| client.go_wait(wait())).collect();
            for wait in waits {
                let _ = wait.await;
            }
        }
        Attack::Streams => {
            let mut unread = Vec::new();
            for _ in 0..AT_ONCE {
                unread.push(client.watch(WatchRequest::new(KeyRange::all())).await);
            }
            std::future::pending::<()>().await;
        }
        Attack::Reserves => {
            let reserve = |_| {
                let wait = Some(Duration::from_secs(60));
                client.reserve(ReserveRequest { wait, ..ReserveRequest::new(TOPIC) })
            };
            futures_util::future::join_all((0..AT_ONCE).map(reserve)).await;
        }
        Attack::Promises => {
            for _ in 0..AT_ONCE {
                let set = KvRequest::Set(SetRequest::new(format!("{KEYS}once"), "x"));
                let _ = client.call_with(set.into(), CallOptions::once(chance.random())).await;
            }
        }
        Attack::Jobs => {
            for _ in 0..AT_ONCE {
                let payload = vec![b'x'; chance.random_range(0..=4096)];
                let _ = client.push(TOPIC, payload, PushOptions::default()).await;
            }
        }
        _ => {
            for number in 0..AT_ONCE {
                let ttl = Some(Duration::from_millis(100));
                let set = SetRequest::new(format!("{KEYS}{number}"), "x");
                let _ = client.set(SetRequest { ttl, ..set }).await;
            }
        }
    }
}

/// Returns a request that looks at as much as it may.
fn costly(chance: &mut StdRng) -> KvRequest {
    let range = RangeRequest {
        revision: chance.random_range(0..200),
        limit: chance.random_range(0..200),
        count_only: chance.random_bool(0.3),
        ..RangeRequest::new(KeyRange::all())
    };
    match chance.random_range(0..4) {
        0 => KvRequest::Range(range),
        1 => KvRequest::Scan(Box::new(range)),
        2 => KvRequest::Delete(crate::DeleteRequest::new(KeyRange::prefix(KEYS))),
        _ => {
            let success = (0..RANGES_MAX).map(|_| TxnOp::Range(range.clone())).collect();
            KvRequest::Txn(TxnRequest { success, ..TxnRequest::default() })
        }
    }
}

/// Returns bytes that no regular client would send.
fn bytes_of(attack: Attack, chance: &mut StdRng) -> Vec<u8> {
    let mut out = Vec::new();
    if matches!(attack, Attack::Garbage) && chance.random_bool(0.5) {
        return garbage(chance, GARBAGE_MAX);
    }
    out.extend_from_slice(&PREFACE);
    let hello = WireHello { client_name: "an attacker", server: "" };
    let _ = encode_frame(&mut out, Kind::Hello, 0, 0, &hello, usize::MAX);
    match attack {
        Attack::Garbage => out.extend(garbage(chance, GARBAGE_MAX)),
        Attack::Bodies => {
            for id in 1..AT_ONCE as u64 {
                body(&mut out, id, chance);
            }
        }
        Attack::Half => {
            let set = KvRequest::Set(SetRequest::new(format!("{KEYS}half"), vec![b'x'; 900]));
            request(&mut out, 1, &set);
            let left = chance.random_range(1..=HEADER_BYTES + 900);
            out.truncate(out.len().saturating_sub(left));
        }
        Attack::Deaf => {
            for id in 1..AT_ONCE as u64 {
                request(&mut out, id, &costly(chance));
            }
        }
        _ => {
            for id in 0..2_000 {
                let kind = if chance.random_bool(0.5) { Kind::Ping } else { Kind::Cancel };
                crate::rpc::codec::encode_bare(&mut out, kind, id);
            }
        }
    }
    out
}

fn garbage(chance: &mut StdRng, max: usize) -> Vec<u8> {
    let bytes = chance.random_range(1..=max);
    (0..bytes).map(|_| chance.random()).collect()
}

fn request(out: &mut Vec<u8>, id: u64, request: &KvRequest) {
    let call = WireCall { idempotency: None, request: WireRequest::from(request) };
    let _ = encode_frame(out, Kind::Request, id, 0, &call, usize::MAX);
}

/// Appends a frame whose body is invalid somewhere.
fn body(out: &mut Vec<u8>, id: u64, chance: &mut StdRng) {
    let start = out.len() + HEADER_BYTES;
    request(out, id, &costly(chance));
    let len = out.len().saturating_sub(start);
    for _ in 0..chance.random_range(1..=3) {
        let at = start + chance.random_range(0..len.max(1));
        if let Some(byte) = out.get_mut(at) {
            *byte = chance.random();
        }
    }
}
