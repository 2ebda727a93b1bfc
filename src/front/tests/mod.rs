//! A third, line-based door has the permissions, limits and logs of the native protocol and JSON,
//! without any code for them in its own file.

mod line_door;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use self::line_door::{LineProtocol, listen};
use super::Inbox;
use crate::auth::{Action, Auth, AuthFile, Pattern, UserStore, hash_password};
use crate::config::{AuthConfig, Config};
use crate::handle::Wakeful;
use crate::model::SetRequest;
use crate::operations::Operations;

/// Maximum length of a door, in lines.
const DOOR_LINES_MAX: usize = 300;

/// Waits for `work`, which takes longer only if it hangs.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("hangs")
}

/// A client of the line-based door.
struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn connect(addr: SocketAddr) -> Self {
        Self(BufReader::new(within(TcpStream::connect(addr)).await.unwrap()))
    }

    async fn send(&mut self, lines: &str) {
        within(self.0.write_all(format!("{lines}\n").as_bytes())).await.unwrap();
    }

    /// Returns the next line; an empty one at the end of the connection.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        // A reset is an end, too.
        let _ = within(self.0.read_line(&mut line)).await;
        line.trim_end().to_owned()
    }

    async fn ask(&mut self, line: &str) -> String {
        self.send(line).await;
        self.line().await
    }
}

/// A server with two users: `app` has every permission on `app/*`, `root` is an administrator.
struct Guarded {
    node: Wakeful,
    auth: Auth,
    file: AuthFile,
    addr: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Guarded {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = AuthFile::new(dir.path().join("users.toml"));
        let config =
            AuthConfig { hash_memory_bytes: 64 * 1024, hash_passes: 1, ..AuthConfig::new() };
        let filled = file.update(&config, |book| {
            for name in ["app", "root"] {
                book.add_role(name).unwrap();
                let hash = hash_password("a-long-password", &config).unwrap();
                book.add_user(name, Some(&hash)).unwrap();
                book.give_role(name, name).unwrap();
            }
            book.set_admin("root", true).unwrap();
            for action in Action::ALL {
                book.grant("app", action, Pattern::parse("app/*").unwrap()).unwrap();
            }
            Ok(())
        });
        filled.unwrap();
        let auth = Auth::open(file.path(), &config).unwrap();
        let node = Wakeful::start(Config::new()).unwrap();
        node.require_login(auth.clone()).await.unwrap();
        let addr = listen(&node).await.unwrap();
        Self { node, auth, file, addr, _dir: dir }
    }

    async fn enter(&self, user: &str) -> Peer {
        let mut peer = Peer::connect(self.addr).await;
        let entered = peer.ask(&format!("1 login {user} a-long-password")).await;
        assert_eq!(entered, format!("1 ok {user}"));
        peer
    }

    fn change(&self, change: impl FnOnce(&mut UserStore)) {
        let changed = self.file.update(&AuthConfig::new(), |book| {
            change(book);
            Ok(())
        });
        changed.unwrap();
        assert!(self.auth.reload().unwrap());
    }
}

/// Waits until `waits` waits are parked.
async fn until_waits(node: &Wakeful, waits: u64) {
    let parked = async {
        while node.status().await.unwrap().waits != waits {
            tokio::task::yield_now().await;
        }
    };
    within(parked).await;
}

#[test]
fn a_door_is_short() {
    let lines = include_str!("line_door.rs").lines().count();
    assert!(lines < DOOR_LINES_MAX, "{lines} lines");
}

#[actix_rt::test]
async fn a3_a_new_door_asks_for_a_login_and_for_every_permission() {
    let guarded = Guarded::start().await;
    let mut peer = Peer::connect(guarded.addr).await;
    for line in ["1 get app/a", "2 set app/a 1", "3 wait app/a", "4 push app/t p", "5 compact 1"] {
        let refused = peer.ask(line).await;
        assert!(refused.contains(" error NotLoggedIn: "), "{line}: {refused}");
    }
    let refused = peer.ask("6 login app wrong-password").await;
    assert!(refused.starts_with("6 error LoginFailed: "), "{refused}");
    let mut app = guarded.enter("app").await;
    for line in
        ["2 get b", "3 set b 1", "4 keys b", "5 wait b", "6 push b p", "7 reserve b", "8 compact 1"]
    {
        let refused = app.ask(line).await;
        assert!(refused.contains(" error PermissionDenied: "), "{line}: {refused}");
    }
    assert_eq!(app.ask("9 set app/a 1").await, "9 ok");
    assert_eq!(app.ask("10 get app/a").await, "10 ok 1");
    assert_eq!(guarded.enter("root").await.ask("2 get app/a").await, "2 ok 1");
    within(guarded.node.stop()).await;
}

#[actix_rt::test]
async fn a5_a_new_door_ends_what_is_revoked_while_it_waits() {
    let guarded = Guarded::start().await;
    let mut app = guarded.enter("app").await;
    app.send("2 wait app/a").await;
    app.send("3 reserve app/t").await;
    until_waits(&guarded.node, 1).await;
    assert_eq!(app.ask("4 stream").await, "4 ok");
    assert_eq!(app.ask("5 watch 4 app/b").await, "5 ok");
    guarded.node.set(SetRequest::new("app/b", "1")).await.unwrap();
    assert_eq!(app.line().await, "4 changed 1 app/b 1");
    guarded.change(|book| {
        for action in [Action::Watch, Action::Work] {
            book.revoke("app", action, &Pattern::parse("app/*").unwrap()).unwrap();
        }
    });
    let mut ended = [app.line().await, app.line().await, app.line().await];
    ended.sort();
    let [wait, reserve, watch] = ended;
    assert!(wait.starts_with("2 error PermissionDenied: "), "{wait}");
    assert!(reserve.starts_with("3 error PermissionDenied: "), "{reserve}");
    assert!(watch.starts_with("4 ended 1 PermissionDenied: "), "{watch}");
    until_waits(&guarded.node, 0).await;
    assert_eq!(app.ask("6 get app/b").await, "6 ok 1", "what is still granted goes on");
    guarded.change(|book| book.remove_user("app").unwrap());
    let over = app.line().await;
    assert!(over.starts_with("0 error NotLoggedIn: "), "{over}");
    assert_eq!(app.line().await, "");
    within(guarded.node.stop()).await;
}

#[cfg(feature = "cli")]
/// Set in a process that runs one test alone: tracing caches, for the whole process, whether any
/// subscriber wants a line, so subscribers of other tests would interfere.
const ALONE: &str = "WAKEFUL_TEST_ALONE";

#[cfg(feature = "cli")]
#[test]
fn a8_a_new_door_writes_the_audit_log_and_the_log_of_requests() {
    if std::env::var_os(ALONE).is_some() {
        actix_rt::System::new().block_on(the_audit_log_and_the_log_of_requests());
        return;
    }
    let name = "front::tests::a8_a_new_door_writes_the_audit_log_and_the_log_of_requests";
    let alone = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success(), "{printed}{}", String::from_utf8_lossy(&alone.stderr));
    assert!(printed.contains("1 passed"), "{printed}");
}

#[cfg(feature = "cli")]
async fn the_audit_log_and_the_log_of_requests() {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let log = Memory::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone());
    let _logged = tracing::subscriber::set_default(subscriber.finish());
    let guarded = Guarded::start().await;
    let mut app = guarded.enter("app").await;
    assert!(app.ask("2 compact 1").await.contains("PermissionDenied"));
    let mut root = guarded.enter("root").await;
    assert_eq!(root.ask("2 set a 1").await, "2 ok");
    assert_eq!(root.ask("3 compact 2").await, "3 ok");
    within(guarded.node.stop()).await;
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    let count = |words: &[&str]| {
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    let act = "wakeful::audit: act=\"compact\"";
    assert_eq!(count(&[act, "about=\"revision 2\"", "user=\"root\""]), 1, "{log}");
    assert_eq!(count(&[act]), 1, "what is denied is not done: {log}");
    assert_eq!(count(&["wakeful::audit: act=\"login\"", "user=\"app\""]), 1, "{log}");
    assert_eq!(count(&["wakeful::request: ", "method=Compact", "outcome=\"Ok\""]), 1, "{log}");
    let denied = ["wakeful::request: ", "method=Compact", "outcome=\"PermissionDenied\""];
    assert_eq!(count(&denied), 1, "{log}");
}

#[actix_rt::test]
async fn s10_a_new_door_keeps_to_the_limits_of_connections_and_of_lengths() {
    let mut config = Config::new();
    config.rpc.connections_per_address_max = 2;
    let node = Wakeful::start(config).unwrap();
    let addr = listen(&node).await.unwrap();
    let (mut one, mut two) = (Peer::connect(addr).await, Peer::connect(addr).await);
    for peer in [&mut one, &mut two] {
        assert_eq!(peer.ask("1 set a 1").await, "1 ok");
    }
    let mut three = Peer::connect(addr).await;
    let refused = three.line().await;
    assert!(refused.starts_with("0 error LimitExceeded: "), "{refused}");
    assert!(refused.contains("rpc.connections_per_address_max"), "{refused}");
    assert_eq!(three.line().await, "");
    drop(two);
    assert_eq!(one.ask("2 get a").await, "2 ok 1");
    within(node.stop()).await;
    // Before a login, little is kept of a peer.
    let guarded = Guarded::start().await;
    let mut peer = Peer::connect(guarded.addr).await;
    let long = "x".repeat(guarded.node.rpc().login_frame_bytes_max);
    let refused = peer.ask(&format!("1 login app {long}")).await;
    assert!(refused.starts_with("0 error Protocol: a line is too long"), "{refused}");
    assert_eq!(peer.line().await, "");
    within(guarded.node.stop()).await;
}

#[test]
fn s10_a_turn_of_a_new_door_has_a_limit_of_requests_and_of_heavy_ones() {
    let lines: String = (1..=20).map(|id| format!("{id} get a\n{} keys a\n", id + 20)).collect();
    for (requests, heavy) in [(1, 1), (3, 2), (100, 3), (5, 100)] {
        let mut config = Config::new().rpc;
        (config.requests_in_flight_max, config.heavy_requests_max) = (requests, heavy);
        let (mut inbox, mut protocol) = (Inbox::<LineProtocol>::new(), LineProtocol::default());
        let now = Instant::now();
        assert!(inbox.push(&mut protocol, lines.as_bytes(), now, &config).is_ok());
        let mut taken = 0;
        loop {
            let (received, heavy_ones) = inbox.counts();
            assert!(received <= requests && heavy_ones <= heavy, "{received}, {heavy_ones}");
            taken += inbox.take().0.len();
            if !inbox.full {
                break;
            }
            assert!(inbox.resume(&mut protocol, now, &config).is_ok());
        }
        assert_eq!(taken, 40);
    }
}

/// All that is sent at once is answered, however little fits in a turn, and as often as it is in
/// flight, an id is refused.
#[actix_rt::test]
async fn r1_every_request_of_a_new_door_gets_its_one_answer() {
    let mut config = Config::new();
    (config.rpc.requests_in_flight_max, config.rpc.heavy_requests_max) = (3, 1);
    let node = Wakeful::start(config).unwrap();
    let addr = listen(&node).await.unwrap();
    let mut peer = Peer::connect(addr).await;
    let lines: Vec<String> = (1..=50).map(|id| format!("{id} keys a")).collect();
    peer.send(&lines.join("\n")).await;
    for id in 1..=50 {
        assert_eq!(peer.line().await, format!("{id} ok"));
    }
    peer.send("60 wait a").await;
    until_waits(&node, 1).await;
    node.set(SetRequest::new("a", "1")).await.unwrap();
    assert_eq!(peer.line().await, "60 ok 1");
    peer.send("61 wait a\n62 reserve t").await;
    until_waits(&node, 1).await;
    peer.send("61 cancel").await;
    let cancelled = peer.line().await;
    assert!(cancelled.starts_with("61 error Cancelled: "), "{cancelled}");
    let twice = peer.ask("62 get a").await;
    assert!(twice.starts_with("0 error Protocol: request id 62 is in flight"), "{twice}");
    within(node.stop()).await;
}

/// A peer that leaves gives back the jobs that it holds.
#[actix_rt::test]
async fn j5_jobs_of_a_connection_of_a_new_door_go_back_with_it() {
    let node = Wakeful::start(Config::new()).unwrap();
    let addr = listen(&node).await.unwrap();
    let (mut one, mut two) = (Peer::connect(addr).await, Peer::connect(addr).await);
    assert_eq!(one.ask("1 push t p").await, "1 ok");
    assert_eq!(one.ask("2 reserve t").await, "2 ok p");
    two.send("1 reserve t").await;
    one.send("bye").await;
    drop(one);
    assert_eq!(two.line().await, "1 ok p");
    drop(two);
    within(node.stop()).await;
}

#[actix_rt::test]
async fn r5_a_new_door_shuts_down_with_the_node() {
    let node = Wakeful::start(Config::new()).unwrap();
    let addr = listen(&node).await.unwrap();
    let (mut waits, mut idle) = (Peer::connect(addr).await, Peer::connect(addr).await);
    let mut new = Peer::connect(addr).await;
    assert_eq!(idle.ask("1 set a 1").await, "1 ok");
    waits.send("1 wait b").await;
    until_waits(&node, 1).await;
    let all_accepted = async {
        while node.connections().load(Ordering::Relaxed) != 3 {
            tokio::task::yield_now().await;
        }
    };
    within(all_accepted).await;
    let stopped = async {
        let mut lines = vec![waits.line().await, waits.line().await];
        lines.sort();
        assert_eq!(lines[0], "0 bye");
        assert!(lines[1].starts_with("1 error Unavailable: "), "{lines:?}");
        assert_eq!(waits.line().await, "");
        assert_eq!((idle.line().await, idle.line().await), ("0 bye".to_owned(), String::new()));
        let told = new.line().await;
        assert!(told.starts_with("0 error Unavailable: "), "{told}");
        assert_eq!(new.line().await, "");
    };
    within(async { tokio::join!(node.stop(), stopped) }).await;
    assert!(listen(&node).await.is_err(), "no door is opened any more");
}
