//! Loads of jobs, against a minimal beanstalkd.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use clap::Parser;

use super::{JobsArgs, run};
use crate::LoadedServer;
use wakeful::ErrorCode;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: JobsArgs,
}

#[derive(Default)]
struct Ready {
    last: u64,
    /// Ids and payloads.
    jobs: VecDeque<(u64, Vec<u8>)>,
}

#[derive(Default)]
struct Tube {
    ready: Mutex<Ready>,
    pushed: Condvar,
    /// The number of puts and of deletes.
    counts: Mutex<(u64, u64)>,
}

fn serve() -> (SocketAddr, Arc<Tube>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, tube) = (listener.local_addr().unwrap(), Arc::<Tube>::default());
    let all = Arc::clone(&tube);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let tube = Arc::clone(&all);
            std::thread::spawn(move || converse(socket.unwrap(), &tube));
        }
    });
    (addr, tube)
}

/// Answers one command after another; a waiting reserve delays later commands.
fn converse(mut socket: TcpStream, tube: &Tube) {
    let mut commands = BufReader::new(socket.try_clone().unwrap());
    let mut line = String::new();
    while commands.read_line(&mut line).unwrap_or(0) > 0 {
        let words: Vec<_> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["use", name] => format!("USING {name}\r\n"),
            ["watch", _] => "WATCHING 2\r\n".to_owned(),
            ["ignore", _] => "WATCHING 1\r\n".to_owned(),
            ["put", _, _, _, length] => {
                let mut payload = vec![0; length.parse::<usize>().unwrap() + 2];
                commands.read_exact(&mut payload).unwrap();
                payload.truncate(payload.len() - 2);
                let mut ready = tube.ready.lock().unwrap();
                ready.last += 1;
                let id = ready.last;
                ready.jobs.push_back((id, payload));
                tube.pushed.notify_all();
                tube.counts.lock().unwrap().0 += 1;
                format!("INSERTED {id}\r\n")
            }
            ["reserve"] => {
                let ready = tube.ready.lock().unwrap();
                let mut ready =
                    tube.pushed.wait_while(ready, |ready| ready.jobs.is_empty()).unwrap();
                let (id, payload) = ready.jobs.pop_front().unwrap();
                format!(
                    "RESERVED {id} {}\r\n{}\r\n",
                    payload.len(),
                    String::from_utf8(payload).unwrap()
                )
            }
            ["delete", _] => {
                tube.counts.lock().unwrap().1 += 1;
                "DELETED\r\n".to_owned()
            }
            _ => panic!("no command {line:?}"),
        };
        if socket.write_all(answer.as_bytes()).is_err() {
            return;
        }
        line.clear();
    }
}

fn args(line: &str) -> JobsArgs {
    let words = ["bench", "--peer", "beanstalkd"].into_iter();
    Line::parse_from(words.chain(line.split_whitespace())).args
}

#[test]
fn every_job_that_is_pushed_is_settled_and_counted_once() {
    for line in ["-n 10007 -c 3 --depth 16", "-n 5 -c 9 --depth 2", "--seconds 0.2 -c 2"] {
        let (addr, tube) = serve();
        let (report, refusal) = run(&args(line), &LoadedServer::plain(addr.to_string())).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        let (pushed, deleted) = *tube.counts.lock().unwrap();
        assert_eq!((pushed, refusal), (deleted, None), "{line}");
        assert_eq!(report["jobs"], pushed, "{line}");
        assert!(report["p50_us"].as_f64() <= report["max_us"].as_f64(), "{report}");
        let wanted = line.strip_prefix("-n ").and_then(|rest| rest.split_once(' '));
        assert!(wanted.is_none_or(|(count, _)| count.parse() == Ok(pushed)), "{line}: {pushed}");
    }
}

#[test]
fn an_idle_system_is_measured_job_by_job() {
    let (addr, tube) = serve();
    let (report, _) =
        run(&args("--idle --rounds 20"), &LoadedServer::plain(addr.to_string())).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!((&report["mode"], &report["rounds"]), (&"jobs-idle".into(), &20.into()));
    assert_eq!(*tube.counts.lock().unwrap(), (20, 20));
}

#[test]
fn a_stranger_is_no_beanstalkd() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = stranger.local_addr().unwrap().to_string();
    let said = std::thread::spawn(move || {
        let (mut socket, _) = stranger.accept().unwrap();
        socket.write_all(b"UNKNOWN_COMMAND\r\n").unwrap();
        socket
    });
    assert_eq!(
        run(&args("-n 1 -c 1"), &LoadedServer::plain(addr)).unwrap_err().code,
        ErrorCode::Protocol
    );
    drop(said.join());
}
