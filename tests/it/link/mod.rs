//! Links: servers that dial out, and relays, as processes and in this one.

mod dialing;
mod listener;
mod relay;
mod storm;
mod users;
mod wire;

use std::process::Command;
use std::time::Duration;

use wakeful::{Client, ClientConfig, Config, JobContext, JobError, JobHandler};

use crate::process::{Ran, Running, TIMEOUT, wakeful};

/// The token that servers present to relays in these tests.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A relay on free ports; killed when dropped.
pub(crate) struct Relay {
    pub(crate) process: Running,
    pub(crate) listening: String,
    pub(crate) accepting: String,
}

impl Relay {
    fn start() -> Self {
        Self::start_at("127.0.0.1:0", "127.0.0.1:0", &[])
    }

    fn start_at(listen: &str, accept: &str, arguments: &[&str]) -> Self {
        let fixed = ["relay", "--listen", listen, "--accept", accept];
        let mut command = wakeful(&[&fixed, arguments].concat());
        command.env("WAKEFUL_RELAY_TOKEN", TOKEN).env("RUST_LOG", "error");
        Self::run_as(command)
    }

    /// Starts a relay by this command.
    pub(crate) fn run_as(command: Command) -> Self {
        let mut process = Running::start(command);
        let line = process.line();
        let listening = line.strip_prefix("listening on ").expect(&line).to_owned();
        let line = process.line();
        let accepting = line.strip_prefix("accepting on ").expect(&line).to_owned();
        Self { process, listening, accepting }
    }

    /// Starts a relay at the ports of this one, which has ended.
    fn again(self, arguments: &[&str]) -> Self {
        let (listening, accepting) = (self.listening.clone(), self.accepting.clone());
        self.process.signal("KILL");
        drop(self);
        Self::start_at(&listening, &accepting, arguments)
    }

    /// Starts a server that dials the relay under `name`.
    fn serve(&self, name: &str) -> Dialing {
        Dialing::start(dialing(&self.accepting, name, &[]))
    }

    /// Returns a command for the server `name` behind the relay.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        wakeful(&[&["--addr", &self.listening, "--server", name], arguments].concat())
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Ran {
        Running::start(self.command(name, arguments)).finish()
    }

    fn ok(&self, name: &str, arguments: &[&str]) -> String {
        self.run(name, arguments).ok()
    }

    /// Waits until the server `name` is connected.
    fn until_there(&self, name: &str) {
        crate::process::until(&format!("{name} is there"), || {
            self.run(name, &["status"]).code == Some(0)
        });
    }

    /// Connects a client, which reconnects at once, to the server `name` behind the relay.
    async fn client(&self, name: &str) -> Client {
        let config = ClientConfig { server: name.to_owned(), ..client_config(&self.listening) };
        crate::support::within(Client::connect_with(config)).await.unwrap()
    }
}

/// Returns the default configuration, except that a client reconnects at once.
fn client_config(addr: &str) -> ClientConfig {
    let mut config = ClientConfig::new(addr);
    config.call_deadline = Some(TIMEOUT);
    config.reconnect_backoff_min = Duration::from_millis(5);
    config.reconnect_backoff_max = Duration::from_millis(100);
    config
}

/// Returns the limits of a server that soon dials again.
fn impatient() -> Config {
    let mut config = Config::new();
    config.rpc.shutdown_grace = Duration::from_secs(2);
    config.link.backoff_min = Duration::from_millis(20);
    config.link.backoff_max = Duration::from_millis(500);
    config
}

/// Returns the command `wakeful serve` that dials `addr` under `name` with the token, and soon
/// dials again.
pub(crate) fn dialing(addr: &str, name: &str, arguments: &[&str]) -> Command {
    let fixed = [
        "serve",
        "--dial",
        addr,
        "--dial-name",
        name,
        "--limit",
        "link.backoff_min=20ms",
        "--limit",
        "link.backoff_max=500ms",
    ];
    let mut command = wakeful(&[&fixed, arguments].concat());
    command.env("WAKEFUL_DIAL_TOKEN", TOKEN).env("RUST_LOG", "error");
    command
}

/// A server that dials; killed on drop.
pub(crate) struct Dialing(Running);

impl Dialing {
    pub(crate) fn start(command: Command) -> Self {
        let mut process = Running::start(command);
        let line = process.line();
        assert!(line.starts_with("dialing "), "{line}");
        Self(process)
    }

    /// Waits for a line of the log with `text`.
    pub(crate) fn said(&self, text: &str) {
        self.0.said(text);
    }

    fn kill(self) {
        self.0.signal("KILL");
        self.0.finish();
    }
}

/// A worker that reserves its jobs or is called with them.
struct Double;

impl JobHandler for Double {
    type Job = u64;
    type Output = u64;

    async fn handle(&self, job: u64, _: &JobContext) -> Result<u64, JobError> {
        Ok(job * 2)
    }
}
