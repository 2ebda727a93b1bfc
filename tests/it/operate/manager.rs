//! O6: notifications to a service manager, and the sockets that it passes.

use std::collections::VecDeque;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use super::{Folder, Served};
use crate::process::{BINARY, Killed, TIMEOUT, exit_of, run, wakeful};

/// A service manager as seen by a server.
struct Manager {
    folder: Folder,
    socket: UnixDatagram,
    told: VecDeque<String>,
}

impl Manager {
    fn new() -> Self {
        let folder = Folder::new();
        let socket = UnixDatagram::bind(folder.path("notify")).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { folder, socket, told: VecDeque::new() }
    }

    fn watch(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.folder.path("notify"));
    }

    /// Returns the lines of the next notification other than a watchdog one.
    fn told(&mut self) -> Vec<String> {
        loop {
            let message = self.message();
            if message != "WATCHDOG=1" {
                return message.lines().map(str::to_owned).collect();
            }
        }
    }

    fn message(&mut self) -> String {
        if let Some(message) = self.told.pop_front() {
            return message;
        }
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("it tells something");
        String::from_utf8(buffer[..length].to_vec()).unwrap().trim_end().to_owned()
    }
}

#[test]
fn o6_the_manager_is_told_of_start_reload_and_stop() {
    let mut manager = Manager::new();
    let file = manager.folder.config("log = \"info\"\n");
    let mut command = wakeful(&["serve", "--listen", "127.0.0.1:0", "--config", &file]);
    manager.watch(&mut command);
    let server = Served::run(command);
    let status = format!("STATUS=serving at {}", server.addr);
    assert_eq!(manager.told(), ["READY=1", &status]);
    server.process.signal("HUP");
    let reloading = manager.told();
    assert_eq!(reloading[0], "RELOADING=1");
    let at: u64 = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(at > 0);
    assert_eq!(manager.told(), ["READY=1", &format!("{status}; reloaded: 0 changes, 0 refusals")]);
    manager.folder.config("log = 7\n");
    server.process.signal("HUP");
    assert_eq!(manager.told()[0], "RELOADING=1");
    let refused = manager.told();
    assert_eq!(refused[0], "READY=1", "it serves as before");
    assert!(refused[1].contains("reload refused") && refused[1].contains(":1:"), "{refused:?}");
    assert_eq!(refused.len(), 2);
    server.process.signal("TERM");
    assert_eq!(manager.told(), ["STOPPING=1", "STATUS=stopping, within 30s"]);
    assert_eq!(server.process.finish().code, Some(0));
}

#[test]
fn o6_a_manager_that_watches_hears_that_it_is_alive() {
    let mut manager = Manager::new();
    let mut command = wakeful(&["serve", "--listen", "127.0.0.1:0"]);
    manager.watch(&mut command);
    command.env("WATCHDOG_USEC", "150000");
    let server = Served::run(command);
    let signs = (0..10).map(|_| manager.message()).filter(|told| told == "WATCHDOG=1").count();
    assert!(signs >= 9, "all but READY=1");
    server.process.signal("STOP");
    // The notifications before the server hung.
    manager.socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while manager.socket.recv(&mut buffer).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    server.process.signal("CONT");
    assert_eq!(manager.message(), "WATCHDOG=1");
    server.stop();
}

#[test]
fn o6_a_manager_that_does_not_read_holds_nobody_up() {
    let manager = Manager::new();
    let full = UnixDatagram::unbound().unwrap();
    full.connect(manager.folder.path("notify")).unwrap();
    full.set_nonblocking(true).unwrap();
    while full.send(b"STATUS=full").is_ok() {}
    let mut command = wakeful(&["serve", "--listen", "127.0.0.1:0"]);
    manager.watch(&mut command);
    command.env("WATCHDOG_USEC", "3000");
    let server = Served::run(command);
    server.process.said("notify socket unavailable");
    server.ask(&["set", "a", "1"]).ok();
    server.stop();
}

/// Returns `serve` with `socket` as passed by a manager.
fn with_socket(socket: impl Into<OwnedFd>, arguments: &[&str]) -> Command {
    let script = "exec env LISTEN_PID=$$ LISTEN_FDS=1 \"$0\" \"$@\" 3<&0 </dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", script, BINARY, "serve", "--durability", "memory"]).args(arguments);
    command.env_remove("RUST_LOG").env_remove("WAKEFUL_ADDR").stdin(Stdio::from(socket.into()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn o6_a_socket_that_is_passed_is_listened_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    // A client that connects before the server starts is served as well.
    let early = std::net::TcpStream::connect(&addr).unwrap();
    let mut server = Killed(with_socket(listener, &["--listen", "127.0.0.1:1"]).spawn().unwrap());
    let set = run(&["set", "a", "1", "--addr", &addr, "--deadline", "30s"]);
    assert_eq!(set.ok(), "revision 2\n");
    drop(early);
    let mut signalled = Command::new("sh");
    signalled.args(["-c", "kill -s TERM $0", &server.0.id().to_string()]);
    assert!(signalled.status().unwrap().success());
    assert_eq!(exit_of(&mut server.0), Some(0));
    let said = std::io::read_to_string(server.0.stdout.take().unwrap()).unwrap();
    assert_eq!(said, format!("listening on {addr}\n"));
}

#[test]
fn o6_a_socket_that_is_of_no_use_is_refused() {
    let connected = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    };
    let file = std::fs::File::open(BINARY).unwrap();
    for socket in [
        OwnedFd::from(connected),
        OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()),
        file.into(),
    ] {
        let mut server = Killed(with_socket(socket, &[]).spawn().unwrap());
        assert_eq!(exit_of(&mut server.0), Some(2));
        let said = std::io::read_to_string(server.0.stderr.take().unwrap()).unwrap();
        assert!(said.starts_with("error: the passed sockets: "), "{said}");
    }
    let mut command = wakeful(&["serve"]);
    command.env("LISTEN_FDS", "4000000000");
    assert!(crate::process::Running::start(command).finish().fails(2).contains("LISTEN_FDS"));
}
