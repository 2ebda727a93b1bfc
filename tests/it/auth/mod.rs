//! Users, logins and permissions with the real binary: A1 and following of `docs/guarantees.md`.

mod audited;
mod commands;
mod denied;
pub(crate) mod embedded;
mod guessing;
mod hangup;
mod json;
mod logins;
mod revoked;
mod secrets;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use wakeful::auth::{Action, AuthFile, Credentials, NewToken, Pattern, UserStore, hash_password};
use wakeful::config::AuthConfig;
use wakeful::{Client, ClientConfig, ErrorCode};

use crate::json::Json;
use crate::process::{Ran, Running, Server, wakeful};
use crate::support::body::Body;
use crate::support::raw::{Frame, Raw};
use crate::support::write_secret;

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) const NOT_LOGGED_IN: u16 = ErrorCode::NotLoggedIn as u16;
pub(crate) const LOGIN_FAILED: u16 = ErrorCode::LoginFailed as u16;
pub(crate) const PERMISSION_DENIED: u16 = ErrorCode::PermissionDenied as u16;

/// A user file that a test changes.
pub(crate) struct Users {
    file: AuthFile,
    dir: tempfile::TempDir,
}

impl Users {
    /// Creates `root`, an administrator, and `app`, whose role of the same name has `grants`.
    pub(crate) fn new(grants: &[(Action, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let users = Self { file: AuthFile::new(dir.path().join("users.toml")), dir };
        users.change(|book| {
            book.add_role("root").unwrap();
            book.set_admin("root", true).unwrap();
            book.add_role("app").unwrap();
            for (action, pattern) in grants {
                book.grant("app", *action, Pattern::parse(pattern).unwrap()).unwrap();
            }
        });
        users.add("root");
        users.add("app");
        users
    }

    /// Adds a user with the role of its name, and writes its token to a file.
    fn add(&self, name: &str) {
        let token = NewToken::draw();
        write_secret(&self.token_file(name), token.secret());
        self.change(|book| {
            book.add_user(name, None).unwrap();
            book.give_role(name, name).unwrap();
            book.add_token(name, name, &token).unwrap();
        });
    }

    /// Gives a user [`PASSWORD`], with a cheap hash.
    pub(crate) fn set_password(&self, name: &str) {
        let cheap =
            AuthConfig { hash_memory_bytes: 64 * 1024, hash_passes: 1, ..AuthConfig::new() };
        let hash = hash_password(PASSWORD, &cheap).unwrap();
        self.change(|book| book.set_password(name, Some(&hash)).unwrap());
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut UserStore)) {
        let changed = self.file.update(&AuthConfig::new(), |book| {
            change(book);
            Ok(())
        });
        changed.unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    fn token_file(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.token"))
    }

    pub(crate) fn token(&self, name: &str) -> String {
        std::fs::read_to_string(self.token_file(name)).unwrap()
    }

    /// Starts a server that notices changes at once.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, arguments: &[&str]) -> Server {
        let fixed = ["--auth", self.path(), "--limit", "auth.reload_interval=20ms"];
        Server::start_with(&[&fixed, arguments].concat())
    }

    /// Returns a command of a user for a server.
    fn command(&self, name: &str, server: &Server, arguments: &[&str]) -> Command {
        let mut command = server.command(arguments);
        command.arg("--token").arg(self.token_file(name));
        command
    }

    fn spawn(&self, name: &str, server: &Server, arguments: &[&str]) -> Running {
        Running::start(self.command(name, server, arguments))
    }

    fn run(&self, name: &str, server: &Server, arguments: &[&str]) -> Ran {
        self.spawn(name, server, arguments).finish()
    }

    /// Returns a raw connection on which a user has logged in.
    pub(crate) fn raw(&self, name: &str, server: &Server) -> Raw {
        let mut raw = stranger(server);
        assert_eq!(raw.call(login_token(&self.token(name))).login(), (name.to_owned(), 1));
        raw
    }

    /// Returns a JSON connection on which a user has logged in.
    fn json(&self, name: &str, server: &Server) -> Json {
        let mut json = Json::connect(server.addr());
        json.ok("KVStoreService.Login", &format!("\"{}\"", self.token(name)));
        json
    }

    fn config(&self, name: &str, server: &Server) -> ClientConfig {
        let mut config = ClientConfig::new(server.addr());
        config.credentials = Some(Credentials::token(self.token(name)));
        config.call_deadline = Some(crate::process::TIMEOUT);
        config.connect_timeout = crate::process::TIMEOUT;
        config.reconnect_backoff_min = std::time::Duration::from_millis(1);
        config.reconnect_backoff_max = std::time::Duration::from_millis(10);
        config
    }

    async fn client(&self, name: &str, server: &Server) -> Client {
        Client::connect_with(self.config(name, server)).await.unwrap()
    }
}

/// Returns a raw connection without a login.
fn stranger(server: &Server) -> Raw {
    Raw::open(server.addr().parse::<SocketAddr>().unwrap())
}

pub(crate) fn login_token(token: &str) -> Body {
    Body::request(23).u32(1).bytes(token.as_bytes())
}

pub(crate) fn login_password(user: &str, password: &str) -> Body {
    Body::request(23).u32(0).bytes(user.as_bytes()).bytes(password.as_bytes())
}

impl Frame {
    /// Returns the user in the reply to a login, and how its identity was proved.
    pub(crate) fn login(&self) -> (String, u32) {
        let mut reader = self.reply(23);
        let login = (reader.text(), reader.u32());
        reader.end();
        login
    }
}

/// Starts a server with a log, which is read at its end.
fn serve_logged(users: &Path, log: &str) -> (Running, String) {
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--log", log, "--auth"];
    let mut command = wakeful(&fixed);
    command.arg(users).args(["--limit", "auth.reload_interval=20ms"]);
    let mut server = Running::start(command);
    let addr = server.line().strip_prefix("listening on ").unwrap().to_owned();
    (server, addr)
}
