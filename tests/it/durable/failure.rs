//! D8: a disk that fails under a running server.

use std::process::Command;

use super::{Home, serve_in};
use crate::process::{BINARY, Running, run};

/// Starts a server that may write no file beyond this number of KiB.
pub(crate) fn limited(home: &Home, kib: u64) -> (Running, String) {
    let dir = home.dir();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--log", "error"];
    let mut command = Command::new("bash");
    // With the signal ignored, a larger write is an error.
    let limit = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
    command.args(["-c", &limit, BINARY]).args(serve).args(serve_in(&dir));
    let mut server = Running::start(command);
    let line = server.line();
    (server, line.strip_prefix("listening on ").expect(&line).to_owned())
}

#[test]
fn d8_a_server_whose_disk_fails_says_so_and_exits_with_8() {
    let home = Home::new();
    {
        // Segments of full size; from now on only half of one can be written.
        let server = home.server();
        server.ok(&["set", "before", "1"]);
        server.signal("TERM");
        server.finish();
    }
    let (server, addr) = limited(&home, 8 * 1024);
    let value = "v".repeat(60_000);
    let mut acknowledged = 0;
    let refused = loop {
        assert!(acknowledged < 1000, "no write fails");
        let ran = run(&["--addr", &addr, "set", &format!("key{acknowledged}"), &value]);
        if ran.code != Some(0) {
            break ran;
        }
        acknowledged += 1;
    };
    // The server may be gone before the answer has been read.
    assert!(matches!(refused.code, Some(8 | 5)), "{refused:?}");
    assert!(acknowledged > 0);
    let told = server.finish().fails(8);
    assert!(told.contains("the journal has failed") && told.contains("0001.log"), "{told}");

    let server = home.server();
    assert_eq!(server.ok(&["get", "before"]), "1\n");
    let keys = server.status("keys");
    assert!(keys > acknowledged, "{acknowledged} and one more were acknowledged, {keys} are there");
    let last = format!("key{}", acknowledged - 1);
    assert_eq!(server.ok(&["get", &last]).trim_end(), value);
}
