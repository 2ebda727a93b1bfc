//! D8: a server on a real file system that fills up.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::serve_in;
use crate::process::{Server, until, wakeful};
use crate::support::body;
use crate::support::raw::{REPLY, Raw};

const NO_SPACE: u16 = 22;

/// The size of a segment, see [`serve_in`].
const SEGMENT_MIB: usize = 16;

/// A file system of its own, unmounted on drop.
struct Mounted(tempfile::TempDir);

impl Mounted {
    /// Returns `None` if this process may not mount.
    fn new(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path());
        match mount.output() {
            Ok(ran) if ran.status.success() => Some(Self(dir)),
            refused => {
                let what = format!("a full file system, as none can be mounted: {refused:?}");
                assert!(std::env::var_os("WAKEFUL_TEST_MOUNT").is_none(), "{what}");
                eprintln!("NOT TESTED: {what}");
                None
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Its files are lost with it.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn serve(data: &Path) -> Server {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--log", "error"];
    Server::run_by(wakeful(&[&serve[..], &serve_in(data)].concat()))
}

fn key(nth: usize) -> String {
    format!("big/{nth:03}")
}

#[test]
fn d8_a_full_file_system_takes_again_what_was_deleted_and_compacted() {
    let Some(disk) = Mounted::new("256m") else { return };
    let server = serve(&disk.data());
    let mut raw = Raw::open(server.addr().parse().unwrap());
    let value = vec![b'x'; 1024 * 1024];
    let mut have = 0;
    let refusal = loop {
        let answer = raw.call(body::set(key(have).as_bytes(), &value));
        if answer.kind != REPLY {
            break answer.refusal();
        }
        have += 1;
        assert!(have < 256, "the disk does not fill up");
    };
    assert_eq!(refusal.code, NO_SPACE, "{refusal:?}");
    assert!(have > 40, "{have}");
    // Half of them, and the process is killed before the log is compacted.
    let half = have / 2;
    for nth in 0..half {
        server.ok(&["del", &key(nth)]);
    }
    server.signal("KILL");
    server.finish();
    let server = serve(&disk.data());
    server.ok(&["compact", &server.status("revision").to_string()]);
    let mut raw = Raw::open(server.addr().parse().unwrap());
    // Space is freed in whole segments.
    let written = half - SEGMENT_MIB;
    for nth in 0..written {
        until("what was deleted can be written again", || {
            raw.call(body::set(key(nth).as_bytes(), &value)).kind == REPLY
        });
    }
    for nth in (0..written).chain(half..have) {
        let reply = raw.call(body::get(key(nth).as_bytes()));
        let mut reader = reply.reply(1);
        let _ = reader.u64();
        assert!(reader.bool(), "{} is there", key(nth));
    }
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(0));
}
