//! Runs the client against a server: the binary at `$WAKEFUL`, by default `target/debug/wakeful`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server process, killed on drop.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_program_with_only_a_client_sets_a_key() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let binary = std::env::var_os("WAKEFUL").unwrap_or("target/debug/wakeful".into());
    let binary = root.join(binary);
    let mut serve = Command::new(&binary);
    serve.args(["serve", "--listen", "127.0.0.1:0", "--durability", "memory", "--log", "warn"]);
    let server = serve.stdout(Stdio::piped()).spawn();
    let server = server.unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    let mut server = Server(server);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().strip_prefix("listening on ").unwrap();

    let client = Command::new(env!("CARGO_BIN_EXE_client-only"))
        .args([addr, "greeting", "hello"])
        .output()
        .unwrap();
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
    assert_eq!(String::from_utf8_lossy(&client.stdout), "greeting = hello (revision 2)\n");
}
