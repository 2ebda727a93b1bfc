//! O9, O10: output that is not read, or cannot be written, neither ends nor blocks a long-running
//! command.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Action, tcflow};
use serde_json::Value;

use super::Folder;
use crate::process::{Killed, Server, exit_of, until, wakeful};
use crate::support::raw::{GOODBYE, Raw};

/// The state of the standard output or standard error of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// A device without space.
    Full,
    /// A pipe whose reader is gone.
    Closed,
    /// A full pipe whose reader does not read: slow, stopped, or stuck.
    Unread,
    /// A terminal stopped with Ctrl-S.
    Stopped,
}

impl Broken {
    const ALL: [Self; 4] = [Self::Full, Self::Closed, Self::Unread, Self::Stopped];

    /// Returns the end for the process, and the other end if it must stay open.
    fn open(self) -> (Stdio, Option<OwnedFd>) {
        match self {
            Self::Full => (OpenOptions::new().write(true).open("/dev/full").unwrap().into(), None),
            Self::Closed => (io::pipe().unwrap().1.into(), None),
            Self::Unread => {
                let (reader, mut writer) = io::pipe().unwrap();
                let size = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
                writer.write_all(&vec![b'x'; size]).unwrap();
                (writer.into(), Some(reader.into()))
            }
            Self::Stopped => {
                let (end, terminal) = terminal();
                tcflow(&end, Action::OOff).unwrap();
                (end.into(), Some(terminal))
            }
        }
    }
}

/// Returns both ends of a terminal: that of the process, and the one that shows its output.
fn terminal() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let terminal = openpt(flags).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    (ioctl_tiocgptpeer(&terminal, flags).unwrap(), terminal)
}

#[test]
fn o8_journal_verify_shows_how_far_it_is_on_a_terminal() {
    let folder = Folder::new();
    let data = folder.path("data");
    let serve = ["--durability", "fsync", "--data-dir", data.to_str().unwrap()];
    let server = Server::start_with(&serve);
    server.ok(&["set", "a", "1"]);
    server.signal("TERM");
    server.finish();
    let (end, terminal) = terminal();
    let mut verify = wakeful(&["journal", "verify", "--data-dir", data.to_str().unwrap()]);
    let status = verify.stdin(Stdio::null()).stdout(Stdio::null()).stderr(end).status().unwrap();
    assert!(status.success());
    // The command has the other end, too.
    drop(verify);
    let mut shown = Vec::new();
    // One read may return a part; reading ends with an error once the other end is closed.
    let _ = File::from(terminal).read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("checked up to record 1"), "{shown}");
    assert!(shown.ends_with("\r\x1b[K"), "it is removed at the end: {shown:?}");
}

/// A process with one broken output.
struct Mute {
    child: Killed,
    _open: Option<OwnedFd>,
}

impl Mute {
    fn stderr(mut command: Command, how: Broken) -> Self {
        let (end, open) = how.open();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(end);
        Self { child: Killed(command.spawn().unwrap()), _open: open }
    }

    fn stdout(mut command: Command, how: Broken) -> Self {
        let (end, open) = how.open();
        command.stdin(Stdio::null()).stdout(end).stderr(Stdio::piped());
        Self { child: Killed(command.spawn().unwrap()), _open: open }
    }

    /// Returns the address after `what` in the first line of `from` that has it; the rest is
    /// discarded.
    fn addr(from: impl Read + Send + 'static, what: &str) -> String {
        let mut lines = BufReader::new(from).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains(what)).unwrap();
        thread::spawn(move || lines.for_each(drop));
        line.split_once(what).unwrap().1.split_whitespace().next().unwrap().to_owned()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.0.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    fn exit(&mut self) -> Option<i32> {
        exit_of(&mut self.child.0)
    }
}

fn serve(arguments: &[&str]) -> Command {
    wakeful(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat())
}

#[test]
fn o9_a_log_that_cannot_be_written_neither_ends_nor_stops_a_server() {
    for how in Broken::ALL {
        let mut server = Mute::stderr(serve(&["--log", "trace"]), how);
        let addr = Mute::addr(server.child.0.stdout.take().unwrap(), "listening on ");
        let mut client = Raw::open(addr.parse().unwrap());
        for _ in 0..2_000 {
            client.set(b"key", b"value");
        }
        server.signal("TERM");
        while client.next().kind != GOODBYE {}
        drop(client);
        assert_eq!(server.exit(), Some(0), "{how:?}");
    }
}

#[test]
fn o9_a_second_signal_ends_a_server_whose_log_is_blocked() {
    for how in Broken::ALL {
        let mut server = Mute::stderr(serve(&["--limit", "rpc.shutdown_grace=1h"]), how);
        let addr = Mute::addr(server.child.0.stdout.take().unwrap(), "listening on ");
        let mut client = Raw::open(addr.parse().unwrap());
        client.send(b"half a frame");
        server.signal("TERM");
        while client.next().kind != GOODBYE {}
        server.signal("TERM");
        assert_eq!(server.exit(), Some(143), "{how:?}");
    }
}

#[test]
fn o9_a_server_goes_on_without_a_reader_of_its_first_line() {
    for how in Broken::ALL {
        let mut server = Mute::stdout(serve(&["--log", "info"]), how);
        let addr = Mute::addr(server.child.0.stderr.take().unwrap(), "addr=");
        let mut client = Raw::open(addr.parse().unwrap());
        client.set(b"key", b"value");
        drop(client);
        server.signal("TERM");
        assert_eq!(server.exit(), Some(0), "{how:?}");
    }
}

#[test]
fn o9_a_panic_ends_a_server_whose_log_is_blocked() {
    for how in Broken::ALL {
        let folder = Folder::new();
        let mut command = serve(&[]);
        let now = folder.path("now");
        command.env("WAKEFUL_FAILPOINT", format!("store=panic@{}", now.display()));
        let mut server = Mute::stderr(command, how);
        let addr = Mute::addr(server.child.0.stdout.take().unwrap(), "listening on ");
        let mut client = Raw::open(addr.parse().unwrap());
        client.set(b"key", b"value");
        File::create(now).unwrap();
        client.ask(crate::support::body::get(b"key"));
        assert_eq!(server.exit(), Some(1), "{how:?}");
    }
}

#[test]
fn o9_a_relay_goes_on_without_its_outputs() {
    let relay = ["relay", "--listen", "127.0.0.1:0", "--accept", "127.0.0.1:0", "--accept-anyone"];
    for how in Broken::ALL {
        let mut mute = Mute::stderr(wakeful(&relay), how);
        Mute::addr(mute.child.0.stdout.take().unwrap(), "accepting on ");
        mute.signal("TERM");
        assert_eq!(mute.exit(), Some(0), "stderr {how:?}");
        let mut mute = Mute::stdout(wakeful(&[&relay[..], &["--log", "info"]].concat()), how);
        Mute::addr(mute.child.0.stderr.take().unwrap(), "addr=");
        mute.signal("TERM");
        assert_eq!(mute.exit(), Some(0), "stdout {how:?}");
    }
}

#[test]
fn o9_a_watch_ends_by_a_signal_whatever_its_outputs_are() {
    let server = Server::start();
    for how in Broken::ALL {
        let mut watch = Mute::stderr(server.command(&["watch", "a"]), how);
        server.until_status("watches", 1);
        watch.signal("TERM");
        assert_eq!(watch.exit(), Some(0), "stderr {how:?}");
        server.until_status("watches", 0);
    }
    for how in [Broken::Unread, Broken::Stopped] {
        let mut watch = Mute::stdout(server.command(&["watch", "a"]), how);
        server.until_status("watches", 1);
        server.ok(&["set", "a", "b", "--always"]);
        watch.signal("TERM");
        assert_eq!(watch.exit(), Some(0), "stdout {how:?}");
        server.until_status("watches", 0);
    }
    // Events that cannot be shown are an error.
    let mut watch = Mute::stdout(server.command(&["watch", "a"]), Broken::Full);
    server.until_status("watches", 1);
    server.ok(&["set", "a", "b", "--always"]);
    assert_eq!(watch.exit(), Some(1));
}

#[test]
fn o9_a_worker_finishes_jobs_that_complain_to_nobody() {
    let server = Server::start();
    for how in Broken::ALL {
        let id = server.ok(&["job", "push", "loud", "x"]).trim().to_owned();
        let script = "head -c 3000000 /dev/zero | tr '\\0' '\\n' >&2; echo well";
        let work = ["job", "work", "loud", "--", "sh", "-c", script];
        let mut worker = Mute::stderr(server.command(&work), how);
        let result = server.ok(&["job", "wait", &id, "--timeout", "60s"]);
        assert_eq!(result, "well\n", "{how:?}");
        worker.signal("TERM");
        assert_eq!(worker.exit(), Some(0), "{how:?}");
    }
}

/// Reads lines up to and including the first for which `until` holds.
fn lines_to(reader: PipeReader, until: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut lines = Vec::new();
    for line in BufReader::new(reader).lines() {
        let line = line.unwrap();
        lines.push(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")));
        if until(lines.last().unwrap()) {
            return lines;
        }
    }
    panic!("it ended before: {:?}", lines.last());
}

#[test]
fn o9_lines_that_were_dropped_are_counted_where_the_log_goes_on() {
    const REQUESTS: u64 = 10_000;
    let (reader, writer) = io::pipe().unwrap();
    let filter = "error,wakeful::request=debug";
    let mut command = serve(&["--log", filter, "--log-format", "json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(writer);
    let mut server = Mute { child: Killed(command.spawn().unwrap()), _open: None };
    drop(command);
    let addr = Mute::addr(server.child.0.stdout.take().unwrap(), "listening on ");
    let mut client = Raw::open(addr.parse().unwrap());
    for _ in 0..REQUESTS {
        client.set(b"key", b"value");
    }
    // While nothing can be written, the number is available as a gauge.
    let seen = client.gauge("log.lines_dropped");
    assert!(seen > 0);
    let dropped = |line: &Value| line["fields"]["lines_dropped"].as_u64();
    let lines = lines_to(reader, |line| dropped(line).is_some());
    let report = lines.last().unwrap();
    assert_eq!(report["level"], "ERROR", "{report}");
    assert!(dropped(report).unwrap() >= seen);
    // The request for the gauge, too, was logged or dropped.
    assert_eq!(lines.len() as u64 - 1 + dropped(report).unwrap(), REQUESTS + 1);
    drop(client);
    server.signal("TERM");
    assert_eq!(server.exit(), Some(0));
}

#[test]
fn o10_what_only_prints_ends_at_once_when_its_reader_leaves() {
    let server = Server::start();
    server.ok(&["job", "push", "t", "x"]);
    let lease = server.ok(&["lease", "grant", "1h"]).trim().to_owned();
    for (arguments, there) in [
        (&["watch", "a"][..], "watches"),
        (&["job", "outcomes", "t"], "connections"),
        (&["lease", "keep-alive", &lease], "connections"),
    ] {
        let mut command = server.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Killed(command.spawn().unwrap());
        until("it is there", || server.status(there) > u64::from(there == "connections"));
        // There are no events to print.
        drop(child.0.stdout.take());
        assert_eq!(exit_of(&mut child.0), Some(0), "{arguments:?}");
        let said = io::read_to_string(child.0.stderr.take().unwrap()).unwrap();
        assert_eq!(said, "", "{arguments:?}");
        server.until_status("connections", 1);
    }
}

#[test]
fn o10_a_command_that_does_something_does_it_without_a_reader() {
    let server = Server::start();
    let mut wait = Mute::stdout(server.command(&["wait", "a"]), Broken::Closed);
    server.until_status("waits", 1);
    let mut set = Mute::stdout(server.command(&["set", "a", "b"]), Broken::Closed);
    assert_eq!(set.exit(), Some(0));
    assert_eq!(wait.exit(), Some(0));
    assert_eq!(server.ok(&["get", "a"]), "b\n");
}

#[test]
fn o10_a_worker_whose_reader_leaves_stops_as_by_a_signal() {
    let server = Server::start();
    let worker = |script: &str| {
        let mut command = server.command(&["job", "work", "t", "--", "sh", "-c", script]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Killed(command.spawn().unwrap())
    };
    let topic = || server.run(&["topics", "--json"]).json();
    // An idle worker.
    let mut idle = worker("true");
    server.until_status("connections", 2);
    drop(idle.0.stdout.take());
    assert_eq!(exit_of(&mut idle.0), Some(141));
    // A worker with a job finishes it.
    let folder = Folder::new();
    let go = folder.path("go");
    let id = server.ok(&["job", "push", "t", "x"]).trim().to_owned();
    server.ok(&["job", "push", "t", "y"]);
    let script = format!("while [ ! -e {} ]; do sleep 0.01; done; echo well", go.display());
    let mut busy = worker(&script);
    until("it has a job", || topic()["reserved"] == 1);
    drop(busy.0.stdout.take());
    let mut said = BufReader::new(busy.0.stderr.take().unwrap()).lines();
    let stopping = said.next().unwrap().unwrap();
    assert!(stopping.starts_with("stopping"), "{stopping}");
    File::create(go).unwrap();
    assert_eq!(exit_of(&mut busy.0), Some(141));
    assert_eq!(server.ok(&["job", "wait", &id]), "well\n");
    assert_eq!(topic()["ready"], 1);
}
