//! The examples, each run as its module documentation describes, on free ports.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::process::{BINARY, Running, Server, TIMEOUT};

/// Returns the directory of the examples, built and up to date. `cargo test` builds them, but not
/// when it runs only this test.
fn examples() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let profile_dir = Path::new(BINARY).parent().unwrap();
        let target_dir = profile_dir.parent().unwrap();
        let profile = match profile_dir.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            other => other,
        };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--examples", "--offline", "--quiet", "--profile", profile])
            .arg("--target-dir")
            .arg(target_dir)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        profile_dir.join("examples")
    })
}

fn example(name: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new(examples().join(name));
    command.args(arguments);
    Running::start(command)
}

/// Returns the source of an example.
fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Asserts that the module documentation of an example shows `line`.
fn assert_says(name: &str, line: &str) {
    let comment: String = text(name).lines().take_while(|line| line.starts_with("//!")).collect();
    assert!(comment.contains(line), "{name} does not say {line}");
}

#[test]
fn watch_prints_the_key_that_changed() {
    assert_says("watch.rs", "cargo run --example watch -- 127.0.0.1:7117");
    assert_says("watch.rs", "`watch: abc`");
    let server = Server::start();
    for _ in 0..2 {
        assert_eq!(example("watch", &[server.addr()]).finish().ok(), "watch: abc\n");
    }
    assert_eq!(server.ok(&["get", "abc"]), "abc-value\n");
    assert_eq!(server.status("waits"), 0);
}

#[test]
fn set_sets() {
    assert_says("set.rs", "cargo run --example set -- 127.0.0.1:7117 greeting hello");
    assert_says("set.rs", "`greeting = hello (revision 2)`");
    let server = Server::start();
    let set = example("set", &[server.addr()]).finish().ok();
    assert_eq!(set, "greeting = hello (revision 2)\n");
    let set = example("set", &[server.addr(), "a", "1"]).finish().ok();
    assert_eq!(set, "a = 1 (revision 3)\n");
    assert_eq!(server.ok(&["get", "greeting"]), "hello\n");
}

#[test]
fn without_a_server_they_say_what_to_start() {
    for name in ["watch", "set"] {
        let told = example(name, &["127.0.0.1:1"]).finish().fails(1);
        assert!(told.contains("Start a server first: cargo run -- serve"), "{name}: {told}");
    }
}

#[test]
fn embed_needs_nothing() {
    assert_says("embed.rs", "`cargo run --example embed`");
    assert_says("embed.rs", "`hello at revision 2`");
    assert_eq!(example("embed", &[]).finish().ok(), "hello at revision 2\n");
}

#[test]
fn actor_sends_to_the_store_and_is_sent_what_it_watches() {
    assert_says("actor.rs", "`cargo run --example actor`");
    assert_says("actor.rs", "`set: revision 2` and `watched: hello (revision 2)`");
    let told = example("actor", &[]).finish().ok();
    let mut lines: Vec<&str> = told.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["set: revision 2", "watched: hello (revision 2)"]);
}

#[test]
fn jobs_hands_out_and_awaits_a_result() {
    assert_says("jobs.rs", "`cargo run --example jobs`");
    assert_says("jobs.rs", "`job 1: photo-17.jpg at 64 pixels`");
    let told = example("jobs", &[]).finish().ok();
    assert_eq!(told, "job 1: photo-17.jpg at 64 pixels\n");
}

/// Runs every page of an example that has one file per feature. Each page prints the block `text`
/// of its module documentation, and is listed in the table of `main.rs`.
fn pages_print_what_they_show(example_name: &str, count: usize) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example_name);
    let listed = text(&format!("{example_name}/main.rs"));
    let mut pages = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let page = file.strip_suffix(".rs").unwrap();
        if page == "main" {
            continue;
        }
        assert!(listed.contains(&format!("//! | `{page}` | ")), "main.rs does not list {page}");
        let path = format!("{example_name}/{file}");
        assert_says(&path, &format!("cargo run --example {example_name} -- {page}"));
        let comment: Vec<String> = text(&path)
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
            .collect();
        let shown = comment.iter().skip_while(|line| *line != "```text").skip(1);
        let shown: String =
            shown.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        assert_eq!(example(example_name, &[page]).finish().ok(), shown, "{path}");
        pages += 1;
    }
    assert_eq!(pages, count);
    let refusal = example(example_name, &["no_such_page"]).finish().fails(1);
    assert!(refusal.contains("name a page: "), "{refusal}");
}

#[test]
fn each_page_about_a_feature_of_jobs_prints_what_it_shows() {
    pages_print_what_they_show("job_features", 7);
}

#[test]
fn each_page_about_a_feature_of_watches_prints_what_it_shows() {
    pages_print_what_they_show("watch_features", 10);
}

/// The scenario from which the queue grew: a third of the messages always fails.
#[test]
fn watch_service_ends_with_each_message_stored_or_dead() {
    let last = "67 results, 33 dead letters, 132 failed attempts";
    assert_says("watch_service.rs", &format!("`{last}`"));
    let told = example("watch_service", &[]).finish().ok();
    let mut lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.pop(), Some(last));
    let stored = lines.iter().map(|line| line.strip_prefix("stored: ").unwrap().parse().unwrap());
    let stored: Vec<u32> = stored.collect();
    assert!(stored.is_sorted_by(|a, b| a < b), "{stored:?}");
    assert_eq!(stored.last(), Some(&67));
}

#[test]
#[cfg(unix)]
fn watch_and_set_runs_a_server_of_its_own() {
    assert!(text("watch_and_set.sh").contains("# prints `changed: greeting`, `now: hello`."));
    let mut script = Command::new("bash");
    script.arg("examples/watch_and_set.sh").current_dir(env!("CARGO_MANIFEST_DIR"));
    script.env("WAKEFUL", BINARY).env_remove("WAKEFUL_ADDR");
    assert_eq!(Running::start(script).finish().ok(), "changed: greeting\nnow: hello\n");
}

/// An HTTP answer: its status, the header `Wakeful-Revision` and its body.
#[derive(Debug)]
struct Answer {
    status: u16,
    revision: Option<u64>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn ask(addr: &str, method: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect(&text);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect(head);
    let revision = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("Wakeful-Revision").then(|| value.parse().unwrap())
    });
    Answer { status, revision, body: body.to_owned() }
}

fn http(addr: &str, method: &str, path: &str, body: &str) -> Answer {
    answer(ask(addr, method, path, body))
}

#[test]
fn embed_actix_web_polls_long() {
    assert_says("embed_actix_web.rs", "-- 127.0.0.1:8080 127.0.0.1:7117");
    let mut web = example("embed_actix_web", &["127.0.0.1:0", "127.0.0.1:0"]);
    let line = web.line();
    let rest = line.strip_prefix("http://").expect(&line);
    let (addr, tcp) = rest.split_once(", and Wakeful's own protocol at ").expect(&line);
    let waits = || {
        let status = crate::process::run(&["status", "--json", "--addr", tcp]).json();
        status["waits"].as_u64().unwrap()
    };
    let until_waits = |count| crate::process::until("waits are there", || waits() == count);

    assert_eq!(http(addr, "GET", "/keys/greeting", "").status, 404);
    let waiting = ask(addr, "GET", "/wait/greeting?timeout_ms=60000", "");
    until_waits(1);
    let put = http(addr, "PUT", "/keys/greeting", "hello");
    assert_eq!((put.status, put.revision), (204, Some(2)));
    let changed = answer(waiting);
    assert_eq!((changed.status, changed.revision), (200, Some(2)));
    let expected =
        serde_json::json!({"type": "put", "key": "greeting", "value": "hello", "revision": 2});
    assert_eq!(changed.json(), expected);
    let got = http(addr, "GET", "/keys/greeting", "");
    assert_eq!((got.status, &got.json()["value"]), (200, &Value::from("hello")));

    // After the timeout, a wait after its revision misses nothing.
    let timeout = http(addr, "GET", "/wait/greeting?timeout_ms=10", "");
    assert_eq!((timeout.status, timeout.revision, &*timeout.body), (304, Some(2), ""));
    let set = crate::process::run(&["set", "greeting", "from the other door", "--addr", tcp]);
    assert_eq!(set.ok(), "revision 3\n");
    let missed = http(addr, "GET", "/wait/greeting?after=2", "");
    assert_eq!((missed.status, &missed.json()["value"]), (200, &"from the other door".into()));
    assert_eq!(http(addr, "GET", "/wait/greeting?after=99", "").status, 400);

    // The wait of a client that disconnects ends before the timeout of an earlier one; the earlier
    // one is answered when the server stops.
    let parked = || ask(addr, "GET", "/wait/greeting?timeout_ms=60000", "");
    let last = parked();
    until_waits(1);
    let leaving: Vec<_> = (0..100).map(|_| parked()).collect();
    until_waits(101);
    drop(leaving);
    until_waits(1);
    web.signal("TERM");
    assert_eq!(answer(last).status, 503);
    assert_eq!(web.finish().ok(), "stopped\n");
}

#[test]
fn l1_reverse_rpc_calls_the_side_that_dialed() {
    assert_says("reverse_rpc.rs", "cargo run --example reverse_rpc -- public 127.0.0.1:1234");
    assert_says("reverse_rpc.rs", "cargo run --example reverse_rpc -- inside 127.0.0.1:1234");
    assert_says("reverse_rpc.rs", "`inside: hello:hello` and `job: 7 letters`");
    let mut public = example("reverse_rpc", &["public", "127.0.0.1:0"]);
    let line = public.line();
    let addr = line.strip_prefix("waiting at ").expect(&line).to_owned();
    // The inside has no port to connect to.
    let mut inside = example("reverse_rpc", &["inside", &addr]);
    assert_eq!(inside.line(), format!("serving over a link to {addr}"));
    assert_eq!(public.finish().ok(), "inside: hello:hello\njob: 7 letters\n");
    // The inside keeps dialing, so it finds a public side that starts later.
    let mut again = example("reverse_rpc", &["public", &addr]);
    assert_eq!(again.line(), line);
    assert_eq!(again.finish().ok(), "inside: hello:hello\njob: 7 letters\n");
}
