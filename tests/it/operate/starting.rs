//! O11: a start that cannot succeed.

use std::net::TcpListener;
use std::path::Path;

use super::Folder;
use crate::process::{Running, run, wakeful};

/// Starts a server with its data in `data`, and returns its final message.
fn refused(data: &Path, arguments: &[&str], code: i32) -> String {
    let mut command = wakeful(&[&["serve"], arguments].concat());
    command.env("WAKEFUL_DATA_DIR", data).env("WAKEFUL_DURABILITY", "fsync");
    Running::start(command).finish().fails(code)
}

#[test]
fn o11_a_start_that_cannot_succeed_leaves_nothing_behind_and_cries_about_nothing() {
    let folder = Folder::new();
    let data = folder.path("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let nothing = folder.path("nothing");
    let nothing = nothing.to_str().unwrap();
    let free = "127.0.0.1:0";
    for (arguments, code, why) in [
        (&["--listen", "foo"][..], 2, "HOST:PORT"),
        (&["--addr", "foo"], 2, "HOST:PORT"),
        (&["--listen", "http://h:1"], 2, "write `h:1`"),
        (&["--listen", free, "--dial", "foo"], 2, "HOST:PORT"),
        (&["--listen", free, "--dial-name", ""], 2, "name"),
        (&["--listen", &taken], 1, "another address with --listen"),
        // An address that no interface has.
        (&["--listen", "192.0.2.1:7117"], 1, "another address with --listen"),
        (&["--listen", "no-such-host.invalid:7117"], 1, "another address with --listen"),
        (&["--listen", free, "--auth", nothing], 2, nothing),
        (&["--listen", free, "--dial", "h:1", "--dial-token-file", nothing], 2, nothing),
        (&["--listen", free, "--limit", "rpc.frame_bytes_max=1KiB"], 2, "rpc.frame_bytes_max"),
        #[cfg(feature = "tls")]
        (&["--tls-listen", "foo"], 2, "HOST:PORT"),
        #[cfg(feature = "tls")]
        (&["--listen", free, "--tls", "--tls-cert", nothing, "--tls-key", nothing], 2, nothing),
    ] {
        let said = refused(&data, arguments, code);
        let last = said.lines().last().unwrap();
        assert!(said.contains("error: ") && said.contains(why), "{arguments:?}: {said}");
        assert!(!said.contains("ERROR") && !said.contains("opened"), "{arguments:?}: {last}");
        assert!(!data.exists(), "{arguments:?}");
    }
}

#[test]
fn o11_what_a_start_refuses_is_refused_by_config_as_well() {
    let folder = Folder::new();
    let nothing = folder.path("nothing");
    let nothing = nothing.to_str().unwrap();
    let file = folder.config("listen = \"foo\"\n");
    for arguments in [
        &["--listen", "foo"][..],
        &["--addr", "foo"],
        &["--config", &file],
        &["--dial", "h:1,foo"],
        &["--dial-name", ""],
        &["--auth", nothing],
        &["--dial", "h:1", "--dial-token-file", nothing],
        &["--data-dir", &file, "--durability", "fsync"],
        #[cfg(feature = "tls")]
        &["--tls-listen", "foo"],
        #[cfg(feature = "tls")]
        &["--tls", "--tls-cert", nothing, "--tls-key", nothing],
    ] {
        let ran = run(&[&["config"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn o11_a_relay_refuses_an_address_that_is_none_before_anything_else() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for (arguments, code) in [
        (&["--listen", "foo"][..], 2),
        (&["--addr", "foo"], 2),
        (&["--accept", "foo"], 2),
        (&["--listen", free, "--accept", free, "--limit", "link.links_max=0"], 2),
        (&["--listen", free, "--accept", &taken], 1),
        (&["--listen", &taken, "--accept", free], 1),
    ] {
        let said = run(&[&["relay", "--accept-anyone"], arguments].concat()).fails(code);
        assert!(said.contains("error: ") && !said.contains("ERROR"), "{arguments:?}: {said}");
    }
}
