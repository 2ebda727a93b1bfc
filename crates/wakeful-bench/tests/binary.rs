//! The binary, against a server in this process.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test says no by panicking, in its helpers too")]

use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Action, tcflow};
use serde_json::{Value, json};
use wakeful::{Config, Wakeful};

/// A server on a free port, which lives as long as the process.
struct Server {
    addr: String,
}

impl Server {
    fn start() -> Self {
        let (say, said) = channel();
        std::thread::spawn(move || {
            actix_rt::System::new().block_on(async {
                let wakeful = Wakeful::start(Config::new()).unwrap();
                let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
                say.send(addr.to_string()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        Self { addr: said.recv().unwrap() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = bench(words);
        command.args(["--addr", &self.addr]);
        command
    }

    fn report(&self, words: &[&str]) -> Value {
        let ran = self.command(&[words, &["--json"]].concat()).output().unwrap();
        assert_eq!(ran.status.code(), Some(0), "{ran:?}");
        serde_json::from_slice(&ran.stdout).unwrap()
    }
}

fn bench(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wakeful-bench"));
    command.args(words).stdin(Stdio::null());
    command
}

fn fails(ran: &Output, code: i32) -> String {
    assert_eq!(ran.status.code(), Some(code), "{ran:?}");
    String::from_utf8(ran.stderr.clone()).unwrap()
}

#[test]
fn a_load_is_measured() {
    let server = Server::start();
    let report = server.report(&["--requests", "2000", "--connections", "4", "--keys", "100"]);
    assert_eq!((&report["requests"], &report["refused"]), (&json!(2000), &json!(0)));
    let text = server.command(&["--requests", "10"]).output().unwrap();
    assert_eq!(text.status.code(), Some(0), "{text:?}");
    assert!(String::from_utf8(text.stdout).unwrap().contains("per_second"));
}

#[test]
fn every_job_that_is_pushed_is_settled() {
    let server = Server::start();
    for batch in ["1", "5"] {
        let words = ["jobs", "-n", "1000", "-c", "3", "--depth", "8", "--batch", batch];
        let report = server.report(&words);
        assert_eq!((&report["jobs"], &report["refused"]), (&json!(1000), &json!(0)), "{batch}");
    }
    assert_eq!(server.report(&["jobs", "--idle", "--rounds", "5"])["rounds"], 5);
}

#[test]
fn errors_and_exit_codes_are_those_of_wakeful() {
    let told = bench(&["--addr", "http://127.0.0.1:7117"]).output().unwrap();
    assert!(fails(&told, 2).contains("write `127.0.0.1:7117`"), "{told:?}");
    let told = bench(&["--pipelines", "3"]).output().unwrap();
    assert!(fails(&told, 2).contains("--pipelines"), "{told:?}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let words = ["--addr", &free.to_string(), "--requests", "1", "--json"];
    let told = bench(&words).output().unwrap();
    let error: Value = serde_json::from_str(&fails(&told, 5)).unwrap();
    assert_eq!(error["error"]["code"], "Unreachable");
}

#[test]
fn help_has_examples_and_the_options_of_every_command() {
    for (words, wanted) in [
        (&["--help"][..], "wakeful-bench --fan-out"),
        (&["--help"], "Loads a running server"),
        (&["--help"], "--tls-ca"),
        (&["jobs", "--help"], "wakeful-bench jobs --idle"),
    ] {
        let ran = bench(words).output().unwrap();
        let help = String::from_utf8(ran.stdout).unwrap();
        assert!(ran.status.success() && help.contains(wanted), "{help}");
    }
}

#[test]
fn o9_a_bench_ends_on_a_stopped_terminal() {
    let server = Server::start();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let terminal = openpt(flags).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let end = ioctl_tiocgptpeer(&terminal, flags).unwrap();
    tcflow(&end, Action::OOff).unwrap();
    let mut command = server.command(&["--seconds", "1", "--connections", "1"]);
    let mut child = command.stdout(Stdio::null()).stderr(end).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
