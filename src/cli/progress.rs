//! [`ProgressLine`]: the progress of a long command, on one line of the terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use super::output::Output;
use super::stderr;

/// Minimum time between two versions of the line.
const INTERVAL: Duration = Duration::from_millis(200);

/// Returns to the start of the line and clears it.
const CLEAR: &str = "\r\x1b[K";

/// Rewrites one line of standard error, and removes it when dropped. Writes nothing if standard
/// error is not a terminal or `--json` was given: files and programs have no use for it.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    on: bool,
    shown: Option<Instant>,
}

impl ProgressLine {
    pub(crate) fn new(out: &Output) -> Self {
        Self { on: !out.json() && io::stderr().is_terminal(), shown: None }
    }

    /// Shows `line`, unless the previous one is too recent.
    pub(crate) fn show(&mut self, line: impl Display) {
        if self.on && self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL) {
            self.shown = Some(Instant::now());
            write(format_args!("{CLEAR}{line}"));
        }
    }

    /// Shows how many of `total` bytes are done.
    pub(crate) fn show_bytes(&mut self, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100).min(100);
        self.show(format_args!("{} of {} ({percent}%)", bytes(done), bytes(total)));
    }

    /// Removes the line, so that other text can take its place.
    pub(crate) fn clear(&mut self) {
        if self.shown.take().is_some() {
            write(CLEAR);
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}

fn write(text: impl Display) {
    stderr::write(text.to_string().as_bytes());
}

/// Formats a number of bytes for people, as in `1.5 KiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut units) = (count as f64, UNITS.iter());
    let mut unit = units.next();
    while value >= 1024.0
        && let Some(larger) = units.next()
    {
        value /= 1024.0;
        unit = Some(larger);
    }
    let unit = unit.copied().unwrap_or_default();
    let digits = if value < 10.0 && count >= 1024 { 1 } else { 0 };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_that_people_read() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (20 << 20, "20 MiB"),
            (3 << 30, "3.0 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
