//! The modes of the load generator, each against a server of its own.

use clap::Parser;
use serde_json::Value;

use super::{BenchArgs, run};
use crate::LoadedServer;
use wakeful::{Config, Error, ErrorCode, Wakeful};

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: BenchArgs,
}

fn bench(addr: &str, line: &str) -> (Result<(), Error>, Value) {
    let words = std::iter::once("bench").chain(line.split_whitespace());
    let mut out = Vec::new();
    let done = run(Line::parse_from(words).args, &LoadedServer::plain(addr), None, true, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().count() <= 1, "{text}");
    (done, serde_json::from_str(&text).unwrap_or_default())
}

/// Starts a server on a free port, which lives as long as the process.
fn serve(config: Config) -> String {
    let (say, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_rt::System::new().block_on(async {
            let wakeful = Wakeful::start(config).unwrap();
            let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
            say.send(addr.to_string()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    said.recv().unwrap()
}

fn measured(line: &str) -> Value {
    let addr = serve(Config::new());
    let (done, report) = bench(&addr, line);
    done.unwrap();
    report
}

#[test]
fn a_load_of_a_number_of_requests_sends_exactly_so_many() {
    let line = "--connections 3 --pipeline 16 --keys 5 --requests 10007 --threads 2";
    let report = measured(line);
    assert_eq!(report["requests"], 10_007);
    assert_eq!(report["refused"], 0);
    assert_eq!(report["ops"], "set:50,get:50");
    assert!(report["per_second"].as_u64().unwrap() > 0);
    assert!(report["p50_us"].as_f64() <= report["p99_us"].as_f64());
    assert!(report["p999_us"].as_f64() <= report["max_us"].as_f64());
}

#[test]
fn a_load_of_a_time_ends_in_time() {
    let report = measured("--connections 2 --ops set --keys 5 --seconds 0.3");
    let seconds = report["seconds"].as_f64().unwrap();
    assert!((0.25..5.0).contains(&seconds), "{report}");
    assert!(report["requests"].as_u64().unwrap() > 0);
}

#[test]
fn a_load_with_a_rate_keeps_it() {
    let line = "--connections 4 --pipeline 2 --ops get --rate 1000 --seconds 0.5";
    let report = measured(line);
    assert_eq!(report["requests"], 500);
}

#[test]
fn a_fill_sets_every_key_and_refusals_are_counted_and_told() {
    let mut config = Config::new();
    config.store.keys_max = 7;
    let addr = serve(config);
    let (done, report) = bench(&addr, "--fill --keys 6 --ops get --requests 10");
    done.unwrap();
    assert_eq!(report["requests"], 10);

    let (done, report) = bench(&addr, "--keys 8 --ops set --requests 1000 -c 1");
    assert_eq!(done.unwrap_err().code, ErrorCode::LimitExceeded);
    assert_eq!(report["requests"], 1_000);
    assert!(report["refused"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn watchers_of_the_loaded_keys_have_their_events_and_others_have_none() {
    for kind in ["wait", "watch"] {
        let load = "--ops set --keys 5 --requests 1000 -c 2 --watchers 7 --watcher-connections 2";
        let report = measured(&format!("{load} --as {kind} --same-keys"));
        assert!(report["watcher_events"].as_u64().unwrap() > 0, "{report}");
        let report = measured(&format!("{load} --as {kind}"));
        assert_eq!(report["watcher_events"], 0);
    }
}

#[test]
fn a_fan_out_reaches_every_watcher_in_every_round() {
    for kind in ["wait", "watch"] {
        let line = format!("--fan-out --watchers 2503 --connections 2 --as {kind} --rounds 3");
        let report = measured(&line);
        assert_eq!(report["watchers"], 2_503);
        assert!(report["first_p50_us"].as_f64().unwrap() > 0.0);
        assert!(report["min_us"].as_f64() <= report["p50_us"].as_f64());
    }
}

#[test]
fn parked_and_lagging_watchers_are_there_and_go() {
    let report = measured("--park 3000 --connections 2 --as wait --seconds 0.1");
    assert_eq!(report["watchers"], 3_000);
    let report = measured("--lagging-watcher --behind 10 --seconds 0.1");
    assert_eq!((&report["behind"], &report["from_revision"]), (&1.into(), &1.into()));
}

#[test]
fn nobody_there_and_a_stranger_are_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (done, _) = bench(&free.to_string(), "--requests 1");
    assert_eq!(done.unwrap_err().code, ErrorCode::Unreachable);

    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = stranger.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        use std::io::Write;
        let (mut socket, _) = stranger.accept().unwrap();
        socket.write_all(b"-ERR unknown command\r\n").unwrap();
        socket
    });
    let (done, _) = bench(&addr, "--requests 1");
    assert_eq!(done.unwrap_err().code, ErrorCode::Protocol);
}
