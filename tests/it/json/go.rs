//! Go: the tutorial's calls by Go's client, and the same requests to Go's server and to ours.
//!
//! If `WAKEFUL_TEST_GO` is set, Go is required; otherwise these tests pass without it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::Json;
use super::seed::hello_service;
use crate::process::{Running, Server};

/// Returns the program of `tests/go`; `None` without Go.
fn program() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = target.join("wakefultest");
    let build = Command::new("go")
        .args(["build", "-o"])
        .arg(&path)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go"))
        .env("GOCACHE", target.join("go-cache"))
        .env("GOFLAGS", "")
        .env("GOPROXY", "off")
        .env("GOPATH", target.join("go-path"))
        .output();
    match build {
        Ok(built) => {
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            Some(path)
        }
        Err(error) => {
            let needed = std::env::var_os("WAKEFUL_TEST_GO").is_some();
            assert!(!needed, "WAKEFUL_TEST_GO is set, but there is no go: {error}");
            eprintln!("not tested: there is no go: {error}");
            None
        }
    }
}

fn run(program: &Path, arguments: &[&str]) -> Running {
    let mut command = Command::new(program);
    command.args(arguments);
    Running::start(command)
}

#[test]
fn g3_gos_client_makes_the_seeds_calls() {
    let Some(program) = program() else { return };
    let server = Server::start();
    let said = run(program, &["calls", server.addr()]).finish().ok();
    assert_eq!(said, "watch: abc\nall calls made\n");
    server.until_status("waits", 0);
    assert_eq!(server.ok(&["get", "abc"]), "another\n");
}

/// With the default durability: every set is on the disk before its answer.
#[test]
#[cfg(unix)]
fn g3_gos_client_makes_the_seeds_calls_of_a_durable_server() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let server = Server::start_with(&["--durability", "fsync", "--data-dir", data]);
    let said = run(program, &["calls", server.addr()]).finish().ok();
    assert_eq!(said, "watch: abc\nall calls made\n");
}

#[test]
fn g5_gos_client_calls_a_service_of_an_application() {
    let Some(program) = program() else { return };
    let server = crate::support::server::Server::offering(vec![hello_service()]);
    let said = run(program, &["hello", &server.addr().to_string()]).finish().ok();
    assert!(said.starts_with("hello:hello, from127.0.0.1:"), "{said}");
}

/// The requests of one connection, in order.
const REQUESTS: &[&str] = &[
    r#"{"method":"KVStoreService.Get","params":["abc"],"id":0}"#,
    r#"{"method":"KVStoreService.Set","params":[["abc","x"]],"id":1}"#,
    r#"{"method":"KVStoreService.Get","params":["abc"],"id":"an id"}"#,
    r#"{"method":"KVStoreService.Get","params":["abc"],"id":[1,{"a":null}]}"#,
    r#"{"method":"KVStoreService.Get","params":["abc"],"id":1.5}"#,
    r#"{"method":"KVStoreService.Get","params":["abc"],"id":null}"#,
    r#"{"method":"KVStoreService.Get","params":["abc"]}"#,
    r#"{"METHOD":"KVStoreService.Get","Params":["abc"],"ID":2,"more":[1]}"#,
    r#"{"method":"x.y","method":"KVStoreService.Get","params":["abc"],"id":3,"id":4}"#,
    r#"{"method":"KVStoreService.Get","params":["abc","more",{}],"id":5}"#,
    r#"{"method":"KVStoreService.Get","params":["\u0061b\u0063"],"id":6}"#,
    r#"{"method":"KVStoreService.Set","params":[["a","1","more"]],"id":7}"#,
    r#"{"method":"KVStoreService.Set","params":[["b"]],"id":8}"#,
    r#"{"method":"KVStoreService.Get","params":["b"],"id":9}"#,
    r#"{"method":"KVStoreService.Set","params":[["b",null]],"id":10}"#,
    r#"{"method":"KVStoreService.Get","params":[],"id":11}"#,
    r#"{"method":"KVStoreService.Get","params":[null],"id":12}"#,
    r#"{"method":"KVStoreService.Get","id":13}"#,
    r#"{"method":"KVStoreService.Get","params":null,"id":14}"#,
    r#"{"method":"KVStoreService.Watch","params":[0],"id":15}"#,
    r#"{"method":"KVStoreService.Watch","params":[],"id":16}"#,
    r#"{"method":"KVStoreService.Watch","params":[-5],"id":17}"#,
    r#"{"method":"KVStoreService.Nope","params":["abc"],"id":18}"#,
    r#"{"method":"KVStoreService.nope","id":19}"#,
    r#"{"method":"NoService.Nope","params":["abc"],"id":20}"#,
    r#"{"method":"NoService.Nope","id":21}"#,
    r#"{"method":"a.b.c","params":[],"id":22}"#,
    r#"{"method":"Nope","params":["abc"],"id":23}"#,
    r#"{"method":"","params":["abc"],"id":24}"#,
    r#"{"method":null,"params":["abc"],"id":25}"#,
    "{}",
    r#"{"method":"KVStoreService.Set","params":[["<&>\u2028","é\ud83d\ude00"]],"id":26}"#,
    r#"{"method":"KVStoreService.Get","params":["<&>\u2028"],"id":27}"#,
];

/// Requests with an argument of the wrong type: each server has its own message.
const WRONG: &[&str] = &[
    r#"{"method":"KVStoreService.Get","params":[5],"id":1}"#,
    r#"{"method":"KVStoreService.Get","params":{"a":1},"id":2}"#,
    r#"{"method":"KVStoreService.Get","params":"abc","id":3}"#,
    r#"{"method":"KVStoreService.Set","params":["abc"],"id":4}"#,
    r#"{"method":"KVStoreService.Set","params":[["a",1]],"id":5}"#,
    r#"{"method":"KVStoreService.Watch","params":[1.5],"id":6}"#,
    r#"{"method":"KVStoreService.Watch","params":["1"],"id":7}"#,
    r#"{"method":"KVStoreService.Watch","params":[99999999999999999999],"id":8}"#,
];

/// Inputs that end the connection without a reply.
const BROKEN: &[&str] = &[
    "{]",
    "{\"id\" 1}",
    "{\"id\":1,}",
    "{\"id\":01}",
    "{'id':1}",
    "{\"method\":5,\"params\":[\"abc\"],\"id\":1}",
    "{}5 ",
    "{}[]",
    "{}\"x\" ",
    "{}{]",
];

fn reply(json: &mut Json, request: &str) -> Value {
    json.send(request);
    json.reply()
}

#[test]
fn g2_wakeful_answers_as_gos_own_server_does() {
    let Some(program) = program() else { return };
    let mut go = run(program, &["serve"]);
    let line = go.line();
    let go = line.strip_prefix("listening on ").expect(&line).to_owned();
    let server = Server::start();
    let (mut theirs, mut ours) = (Json::connect(&*go), Json::connect(server.addr()));
    for request in REQUESTS {
        assert_eq!(reply(&mut ours, request), reply(&mut theirs, request), "{request}");
    }
    for request in WRONG {
        let (ours, theirs) = (reply(&mut ours, request), reply(&mut theirs, request));
        for reply in [&ours, &theirs] {
            assert!(reply["result"].is_null() && reply["error"].is_string(), "{request}: {reply}");
        }
        assert_eq!(ours["id"], theirs["id"]);
    }
    for broken in BROKEN {
        let ends = [server.addr(), &*go].map(|addr| {
            let mut json = Json::connect(addr);
            json.send(broken);
            let mut said = Vec::new();
            while let Some(line) = json.line_or_end() {
                said.push(serde_json::from_str::<Value>(&line).expect(&line));
            }
            said
        });
        assert_eq!(ends[0], ends[1], "{broken}");
    }
}
