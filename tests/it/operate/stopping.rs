//! O3, O4: the effect of SIGTERM and SIGINT on a server with clients.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio_util::sync::CancellationToken;
use wakeful::{Client, ClientConfig, Operations, SetRequest};

use super::{Folder, Served};
use crate::process::{TIMEOUT, until};
use crate::support::body;
use crate::support::raw::{CANCEL, GOODBYE, Raw, frame};

/// Sets one key after another until the server is `gone`; returns the number of acknowledged sets.
fn write(addr: String, who: usize, acknowledged: &AtomicU64, gone: CancellationToken) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = ClientConfig { call_deadline: Some(TIMEOUT), ..ClientConfig::new(addr) };
        let client = Client::connect_with(config).await.unwrap();
        for nth in 0.. {
            let set = client.set(SetRequest::new(format!("{who}/{nth:06}"), "there"));
            match gone.run_until_cancelled(set).await {
                Some(Ok(_)) => acknowledged.fetch_add(1, Ordering::Relaxed),
                Some(Err(_)) | None => return nth,
            };
        }
        0
    })
}

#[test]
fn o3_a_stop_under_load_loses_nothing_and_ends_well() {
    const CLIENTS: usize = 8;
    for signal in ["TERM", "INT"] {
        let folder = Folder::new();
        let data = folder.path("data").to_str().unwrap().to_owned();
        let durable = ["--log", "info", "--durability", "fsync", "--data-dir", &data];
        let server = Served::start(&durable);
        // An idle connection sees how the stop is announced.
        let mut idle = Raw::open(server.socket_addr());
        let acknowledged = Arc::new(AtomicU64::new(0));
        let gone = CancellationToken::new();
        let writers: Vec<_> = (0..CLIENTS)
            .map(|who| {
                let (addr, acknowledged) = (server.addr.clone(), Arc::clone(&acknowledged));
                let gone = gone.clone();
                thread::spawn(move || write(addr, who, &acknowledged, gone))
            })
            .collect();
        until("they write", || acknowledged.load(Ordering::Relaxed) > 200);
        server.process.signal(signal);
        let said = server.process.said("stopping");
        assert!(said.contains("clients=9"), "{said}");
        assert_eq!(idle.next().kind, GOODBYE);
        idle.expect_end();
        let ran = server.process.finish();
        assert_eq!((ran.code, ran.stdout.len()), (Some(0), 0), "{}", ran.stderr);
        assert!(ran.stderr.contains("stopped"), "{}", ran.stderr);
        gone.cancel();
        let written: Vec<u64> = writers.into_iter().map(|it| it.join().unwrap()).collect();
        let again = Served::start(&durable);
        for (who, written) in written.iter().enumerate() {
            let last = format!("{who}/{:06}", written.saturating_sub(1));
            assert_eq!(again.ask(&["get", &last]).ok(), "there\n", "{last}");
            let count = again.ask(&["range", &format!("{who}/"), "--prefix", "--count-only"]).ok();
            let count: u64 = count.trim().parse().expect(&count);
            // One more may have been written whose answer was lost.
            assert!((*written..=written + 1).contains(&count), "{who}: {count} of {written}");
        }
        again.stop();
    }
}

#[test]
fn o3_a_server_that_stops_lets_nobody_in_and_waits_for_what_is_in_flight() {
    let mut server = Served::start(&["--limit", "rpc.shutdown_grace=1h"]);
    let mut busy = Raw::open(server.socket_addr());
    // In flight until it is cancelled: its end must be delivered, and there is no credit for it.
    let stream = busy.open_stream(0);
    busy.watch(stream, 1, body::prefix(b"a"), body::From::Now);
    server.process.signal("TERM");
    server.process.said("stopping");
    assert_eq!(busy.next().kind, GOODBYE);
    until("nobody is let in", || TcpStream::connect(server.socket_addr()).is_err());
    assert!(server.process.is_quiet(), "it is not over");
    busy.send(&frame(CANCEL, 0, stream, b""));
    busy.rest();
    assert_eq!(server.process.finish().code, Some(0), "long before the grace is over");
}

#[test]
fn o4_a_second_signal_ends_it_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let server = Served::start(&["--limit", "rpc.shutdown_grace=1h"]);
        let mut stays = Raw::open(server.socket_addr());
        stays.park(body::wait(body::key(b"a"), body::CHANGED, 600_000));
        let mut silent = Raw::open(server.socket_addr());
        server.process.signal(signal);
        server.process.said("stopping");
        assert_eq!(silent.next().kind, GOODBYE);
        // Half a frame keeps a connection from ending.
        silent.send(&frame(3, 0, 1, b"")[..10]);
        server.process.signal(signal);
        let ran = server.process.finish();
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(ran.stderr.contains("immediately"), "{}", ran.stderr);
    }
}
