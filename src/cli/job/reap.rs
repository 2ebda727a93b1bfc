//! Orphans: processes that lost their parent and became children of this process. It must wait for
//! them, or they stay in the process table forever.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, child_subreaper, getpid, waitpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// Minimum time between two looks at the process table.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits for orphans that ended, for as long as it is polled. `awaited` identifies children that
/// something else waits for.
///
/// Only the first process of a container and a subreaper get orphans; in any other process this
/// does nothing.
pub(super) async fn orphans(awaited: impl Fn(Pid) -> bool) {
    if getpid() != Pid::INIT && !matches!(child_subreaper(), Ok(Some(_))) {
        return;
    }
    let Ok(mut ended) = signal(SignalKind::child()) else { return };
    loop {
        ended.recv().await;
        for child in zombies().unwrap_or_default() {
            if !awaited(child) {
                // The child has ended, so this does not block.
                let _ = waitpid(Some(child), WaitOptions::NOHANG);
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Returns the children of this process that ended and were not waited for.
fn zombies() -> io::Result<Vec<Pid>> {
    let parent = getpid();
    let ended = |process: Pid| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
        (state_and_parent(&stat)? == ('Z', parent)).then_some(process)
    };
    let names =
        std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let processes = names.filter_map(|name| Pid::from_raw(name.parse().ok()?));
    Ok(processes.filter_map(ended).collect())
}

/// Parses `PID (NAME) STATE PARENT ..`; a name may contain parentheses and blanks.
fn state_and_parent(stat: &str) -> Option<(char, Pid)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = Pid::from_raw(fields.next()?.parse().ok()?)?;
    Some((state, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_state() {
        let parent = Pid::from_raw(7).unwrap();
        assert_eq!(state_and_parent("9 (sh) Z 7 9 9 0 -1"), Some(('Z', parent)));
        assert_eq!(state_and_parent("9 (a) S 1 (b) Z 7 9"), Some(('Z', parent)));
        assert_eq!(state_and_parent("9 (sh"), None);
        assert_eq!(state_and_parent("9 (sh) Z 0 0"), None);
    }
}
