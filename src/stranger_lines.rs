//! [`StrangerLines`]: bounds the log lines that unauthenticated peers cause.
//!
//! A line costs such a peer a connection, and the operator a few hundred bytes of disk. Up to
//! `rpc.stranger_lines_max` lines of each kind are written per `rpc.stranger_lines_interval`, then one line
//! with the number of the others. Lines that authenticated clients cause are not limited, nor are the audit
//! lines about administrative acts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::config::RpcConfig;
use crate::environment;

/// The target of the lines of the audit log.
pub(crate) const AUDIT: &str = "wakeful::audit";

/// Lines left out since the process started. A process has one log.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Returns the number of lines left out since the process started.
pub(crate) fn lines_left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

/// A kind of line. Each kind has its own bound, so that a flood does not hide lines of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// A connection begins or ends.
    Connection,
    /// A connection is refused for what it sent, or for what it did not send in time.
    Refused,
    /// A connection ends because its peer does not read, or is silent.
    Stalled,
    /// A request before a login.
    Request,
    /// A TLS handshake fails or waits.
    Handshake,
    /// A login failed.
    LoginFailed,
    /// A login was refused without a check.
    LoginRefused,
    /// An address, or a user over a link, must wait before the next login.
    LoginsSlowed,
    /// A link is refused.
    LinkRefused,
    /// A link of a peer that need not authenticate.
    Link,
    /// A client of a relay.
    Routed,
}

/// Every kind, in the order of the type, and its name in the summary.
const KINDS: [(LineKind, &str); 11] = [
    (LineKind::Connection, "connection"),
    (LineKind::Refused, "refused"),
    (LineKind::Stalled, "stalled"),
    (LineKind::Request, "request"),
    (LineKind::Handshake, "TLS handshake"),
    (LineKind::LoginFailed, "login failed"),
    (LineKind::LoginRefused, "login refused"),
    (LineKind::LoginsSlowed, "logins slowed"),
    (LineKind::LinkRefused, "link refused"),
    (LineKind::Link, "link"),
    (LineKind::Routed, "client of a relay"),
];

impl LineKind {
    fn name(self) -> &'static str {
        KINDS.get(self as usize).map_or("", |(_, name)| *name)
    }

    /// Returns whether the lines of this kind are part of the audit log.
    fn is_audited(self) -> bool {
        matches!(self, Self::LoginFailed | Self::LoginsSlowed)
    }
}

/// Bounds the log lines that unauthenticated peers cause. Cheap to clone; all clones share the bound.
#[derive(Debug, Clone)]
pub(crate) struct StrangerLines(Arc<LineWindows>);

#[derive(Debug)]
struct LineWindows {
    max: u64,
    interval: Duration,
    windows: Mutex<[Window; KINDS.len()]>,
}

/// The current interval of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    began: Option<Instant>,
    written: u64,
    left_out: u64,
}

impl StrangerLines {
    pub(crate) fn new(rpc: &RpcConfig) -> Self {
        let (max, interval) = (rpc.stranger_lines_max, rpc.stranger_lines_interval);
        Self(Arc::new(LineWindows { max, interval, windows: Mutex::default() }))
    }

    /// Returns whether one more line may be written. Others are counted, and reported after the interval.
    pub(crate) fn admits(&self, kind: LineKind) -> bool {
        let now = environment::now();
        let (before, admitted, first) = {
            let mut windows = self.0.windows.lock();
            let Some(window) = windows.get_mut(kind as usize) else { return true };
            let over = |began| now.saturating_duration_since(began) >= self.0.interval;
            let before = match window.began {
                Some(began) if !over(began) => 0,
                _ => {
                    std::mem::replace(window, Window { began: Some(now), ..Window::default() })
                        .left_out
                }
            };
            let admitted = window.written < self.0.max;
            if admitted {
                window.written += 1
            } else {
                window.left_out += 1
            }
            (before, admitted, !admitted && window.left_out == 1)
        };
        report(kind, before);
        if !admitted {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        if first && let Ok(runtime) = Handle::try_current() {
            runtime.spawn(report_later(Arc::downgrade(&self.0), kind, self.0.interval));
        }
        admitted
    }

    /// Reports the lines that were left out so far.
    pub(crate) fn report_all(&self) {
        self.0.report_all();
    }
}

impl LineWindows {
    fn take_left_out(&self, index: usize) -> u64 {
        let mut windows = self.windows.lock();
        windows.get_mut(index).map_or(0, |window| std::mem::take(&mut window.left_out))
    }

    fn report_all(&self) {
        for (kind, _) in KINDS {
            report(kind, self.take_left_out(kind as usize));
        }
    }
}

impl Drop for LineWindows {
    fn drop(&mut self) {
        self.report_all();
    }
}

/// Reports the lines that were left out after the interval, whether or not another line follows.
async fn report_later(lines: Weak<LineWindows>, kind: LineKind, interval: Duration) {
    tokio::time::sleep(interval).await;
    if let Some(lines) = lines.upgrade() {
        report(kind, lines.take_left_out(kind as usize));
    }
}

fn report(kind: LineKind, left_out: u64) {
    if left_out == 0 {
        return;
    }
    let of = kind.name();
    if kind.is_audited() {
        tracing::warn!(target: AUDIT, act = of, left_out, "unauthenticated peers caused further lines of this kind, which were left out");
    } else {
        tracing::warn!(
            of,
            left_out,
            "unauthenticated peers caused further lines, which were left out"
        );
    }
}

/// Writes a line that an unauthenticated peer causes: `log_stranger!(lines, LineKind::Refused, INFO, %error,
/// "refused")`. A `target` comes before the level.
macro_rules! log_stranger {
    ($lines:expr, $kind:expr, target: $target:expr, $level:ident, $($field:tt)*) => {
        if tracing::enabled!(target: $target, tracing::Level::$level) && $lines.admits($kind) {
            tracing::event!(target: $target, tracing::Level::$level, $($field)*);
        }
    };
    ($lines:expr, $kind:expr, $level:ident, $($field:tt)*) => {
        if tracing::enabled!(tracing::Level::$level) && $lines.admits($kind) {
            tracing::event!(tracing::Level::$level, $($field)*);
        }
    };
}
pub(crate) use log_stranger;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn lines(max: u64, interval: Duration) -> StrangerLines {
        let mut rpc = Config::new().rpc;
        (rpc.stranger_lines_max, rpc.stranger_lines_interval) = (max, interval);
        StrangerLines::new(&rpc)
    }

    #[tokio::test(start_paused = true)]
    async fn z32_lines_beyond_the_limit_of_their_kind_are_counted() {
        let lines = lines(3, Duration::from_secs(60));
        let admitted = |kind| (0..10).filter(|_| lines.admits(kind)).count();
        let before = lines_left_out();
        assert_eq!(admitted(LineKind::Refused), 3);
        assert_eq!(admitted(LineKind::LoginFailed), 3, "one kind hides no other");
        assert!(lines_left_out() >= before + 14);
        let left_out = |kind: LineKind| lines.0.windows.lock()[kind as usize].left_out;
        assert_eq!(left_out(LineKind::Refused), 7);
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(left_out(LineKind::Refused), 0, "it was reported");
        assert_eq!(admitted(LineKind::Refused), 3, "in the next interval as well");
    }

    #[test]
    fn every_kind_has_a_window_and_a_name() {
        for (at, (kind, name)) in KINDS.into_iter().enumerate() {
            assert_eq!((kind as usize, kind.name()), (at, name));
        }
        let names: std::collections::BTreeSet<_> = KINDS.map(|(_, name)| name).into();
        assert_eq!(names.len(), KINDS.len());
    }
}
