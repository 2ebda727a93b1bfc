//! The real `wakeful` binary in processes that never outlive their test: [`Server`] serves,
//! [`Running`] is a running command, [`Ran`] a finished one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_wakeful");

/// Time limit of every wait, generous because builds and other tests share the machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A server on a free port; killed on drop.
pub(crate) struct Server {
    process: Running,
    addr: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts `serve` with `arguments`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments)
    }

    pub(crate) fn start_at(listen: &str, arguments: &[&str]) -> Self {
        let fixed = ["serve", "--listen", listen, "--log", "warn"];
        Self::run_by(wakeful(&[&fixed, arguments].concat()))
    }

    /// Starts a server by this command.
    pub(crate) fn run_by(command: Command) -> Self {
        let mut process = Running::start(command);
        let line = process.line();
        let addr = line.strip_prefix("listening on ").expect(&line).to_owned();
        Self { process, addr }
    }

    /// Returns the address, `HOST:PORT`.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Returns a command for this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        wakeful(&[&["--addr", &self.addr], arguments].concat())
    }

    /// Starts a command for this server.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// Runs a command for this server to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.spawn(arguments).finish()
    }

    /// Runs a command that must succeed; returns its output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok()
    }

    /// Returns a number of `status --json`.
    pub(crate) fn status(&self, name: &str) -> u64 {
        let status = self.run(&["status", "--json"]).json();
        status[name].as_u64().unwrap_or_else(|| panic!("no {name} in {status}"))
    }

    /// Waits until a number of `status --json` has this value.
    pub(crate) fn until_status(&self, name: &str, expected: u64) {
        until(&format!("{name} is {expected}"), || self.status(name) == expected);
    }

    /// Returns the next line of output.
    pub(crate) fn line(&mut self) -> String {
        self.process.line()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.child.0.id()
    }

    /// Waits for a line of the server's log with `what`; returns it.
    pub(crate) fn said(&self, what: &str) -> String {
        self.process.said(what)
    }

    /// Sends the server a signal, by name.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Waits for the server's end.
    pub(crate) fn finish(self) -> Ran {
        self.process.finish()
    }
}

/// Returns the binary with `arguments`, without the test environment's settings.
pub(crate) fn wakeful(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env_remove("WAKEFUL_ADDR")
        .env_remove("WAKEFUL_SERVER")
        .env_remove("WAKEFUL_ACCEPT_AUTH")
        .env_remove("RUST_LOG");
    for name in ["USER", "PASSWORD", "PASSWORD_FILE", "TOKEN", "TOKEN_FILE", "AUTH"] {
        command.env_remove(format!("WAKEFUL_{name}"));
    }
    for name in ["", "_CA", "_SERVER_NAME", "_CERT", "_KEY", "_LISTEN", "_CLIENT_CA"] {
        command.env_remove(format!("WAKEFUL_TLS{name}"));
    }
    // Tests of durability set it themselves.
    command.env("WAKEFUL_DURABILITY", "memory");
    command
}

/// Runs the binary without a server.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    Running::start(wakeful(arguments)).finish()
}

/// A running process; killed on drop.
pub(crate) struct Running {
    child: Killed,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    what: String,
}

impl Running {
    /// Starts the command with an empty standard input.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with_input(command, b"")
    }

    pub(crate) fn start_with_input(mut command: Command, input: &[u8]) -> Self {
        let what = format!("{command:?}");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Killed(piped.spawn().expect(&what));
        let mut stdin = child.0.stdin.take().unwrap();
        let input = input.to_owned();
        // The process may end without reading its input.
        thread::spawn(move || stdin.write_all(&input).is_ok());
        let stdout = lines_of(child.0.stdout.take().unwrap());
        let stderr = lines_of(child.0.stderr.take().unwrap());
        Self { child, stdout, stderr, what }
    }

    /// Returns the next line of standard output, without the line end.
    pub(crate) fn line(&mut self) -> String {
        match self.stdout.recv_timeout(TIMEOUT) {
            Ok(line) => String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned(),
            Err(error) => {
                let said: Vec<u8> = self.stderr.try_iter().flatten().collect();
                panic!("{}: no line: {error}: {}", self.what, String::from_utf8_lossy(&said));
            }
        }
    }

    /// Returns the next line of standard output as JSON.
    pub(crate) fn json(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).expect(&line)
    }

    /// Waits for a line of standard error with `what`, and returns it; earlier lines are discarded.
    pub(crate) fn said(&self, what: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
        let mut before = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.stderr.recv_timeout(left).unwrap_or_else(|error| {
                panic!("{}: `{what}` is not said: {error}; but: {before}", self.what)
            });
            let line = String::from_utf8(line).unwrap();
            if line.contains(what) {
                return line;
            }
            before += &line;
        }
    }

    /// Returns true if the process is running and has printed nothing more.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.stdout.try_recv().is_err() && self.child.0.try_wait().unwrap().is_none()
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends the process a signal, by name.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.0.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s $0 $1", signal, &pid]).status();
        assert!(sent.unwrap().success(), "{}: cannot send {signal}", self.what);
    }

    /// Waits for the end of the process, and takes the rest of its output.
    pub(crate) fn finish(mut self) -> Ran {
        let stdout = rest_of(&self.stdout, &self.what);
        let stderr = rest_of(&self.stderr, &self.what);
        let code = exit_of(&mut self.child.0);
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ran { code, stdout, stderr, what: self.what }
    }
}

/// A child process that is killed on drop.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // The process may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A finished process.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` if a signal ended the process.
    pub(crate) code: Option<i32>,
    /// The output that was not read before.
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    what: String,
}

impl Ran {
    /// Returns the output of a process that must succeed without output on standard error.
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""), "{}", self.what);
        String::from_utf8(self.stdout).unwrap()
    }

    /// Returns the one object printed by a process that must succeed.
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Returns the objects, one per line, printed by a process that must succeed.
    pub(crate) fn objects(self) -> Vec<Value> {
        self.ok().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Returns the standard error of a process that must print nothing else and exit with `code`.
    pub(crate) fn fails(self, code: i32) -> String {
        let printed = String::from_utf8_lossy(&self.stdout);
        assert_eq!((self.code, &*printed), (Some(code), ""), "{}: {}", self.what, self.stderr);
        self.stderr
    }
}

/// Waits for the end of a child; returns its exit code.
pub(crate) fn exit_of(child: &mut Child) -> Option<i32> {
    let mut code = None;
    until("the process has ended", || {
        child.try_wait().unwrap().map(|status| code = status.code()).is_some()
    });
    code
}

/// Waits until `holds`.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {TIMEOUT:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn lines_of(output: impl std::io::Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut line = Vec::new();
            match output.read_until(b'\n', &mut line) {
                Ok(1..) if sender.send(line).is_ok() => {}
                _ => return,
            }
        }
    });
    receiver
}

fn rest_of(lines: &Receiver<Vec<u8>>, what: &str) -> Vec<u8> {
    let deadline = Instant::now() + TIMEOUT;
    let mut rest = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => rest.extend(line),
            Err(RecvTimeoutError::Disconnected) => return rest,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{what} does not end; so far: {}", String::from_utf8_lossy(&rest))
            }
        }
    }
}
