//! `wakeful job push --lines`: each line of standard input is a job.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Instant;

use tokio::sync::mpsc;

use super::SAY_EVERY;
use super::push::{Target, show};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::{Blob, Config, Operations};

/// Lines that are pushed together.
type Batch = io::Result<Vec<Blob>>;

/// Pushes what comes, as soon as it comes: what lies ready is one batch, and while that is pushed
/// the next gathers.
pub(super) async fn run(
    target: &Target,
    jobs: &impl Operations,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let limits = Limits::new();
    let (batches, mut read) = mpsc::channel(2);
    std::thread::spawn(move || gather(io::stdin().lock(), limits, &batches));
    let (mut count, mut said) = (0, Instant::now());
    // What the server takes in one request may be less than what is usual.
    let mut jobs_max = limits.jobs_max;
    while let Some(batch) = read.recv().await {
        let mut left = batch.map_err(|error| Failure::io("standard input", &error))?;
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(jobs_max));
            let size = left.len();
            match target.push(left.clone(), jobs, out.json()).await {
                Ok((pushed, durability)) => {
                    show(&pushed, durability, out);
                    count += size as u64;
                    left = rest;
                }
                Err(Failure::Told { code, .. }) if code == "LimitExceeded" && size > 1 => {
                    jobs_max = size / 2;
                    left.extend(rest);
                }
                Err(failure) => {
                    out.flush().await?;
                    return Err(at_line(failure, count, size));
                }
            }
            out.flush().await?;
            if said.elapsed() >= SAY_EVERY && !out.json() {
                said = Instant::now();
                notice(format_args!("{count} jobs"));
            }
        }
    }
    Ok(Exit::Done)
}

/// The same failure, with what was done before it.
fn at_line(mut failure: Failure, pushed: u64, size: usize) -> Failure {
    if let Failure::Told { message, .. } = &mut failure {
        let first = pushed + 1;
        let last = pushed + size as u64;
        let lines = if first == last {
            format!("line {first}")
        } else {
            format!("lines {first} to {last}")
        };
        *message = format!("{lines}: {message}; the {pushed} lines before were pushed");
    }
    failure
}

/// How much is pushed together.
#[derive(Debug, Clone, Copy)]
struct Limits {
    jobs_max: usize,
    bytes_max: usize,
    line_bytes_max: usize,
}

impl Limits {
    /// Those of the defaults, with room for the names that go with each job.
    fn new() -> Self {
        let queue = Config::new().queue;
        Self {
            jobs_max: queue.push_jobs_max,
            bytes_max: queue.push_bytes_max / 2,
            line_bytes_max: queue.payload_bytes_max,
        }
    }
}

/// Reads lines to the end of `input`, or until nobody takes them.
fn gather(input: impl Read, limits: Limits, batches: &mpsc::Sender<Batch>) {
    let mut input = BufReader::with_capacity(256 * 1024, input);
    loop {
        match next_batch(&mut input, limits) {
            Ok(batch) if batch.is_empty() => return,
            batch => {
                let over = batch.is_err();
                if batches.blocking_send(batch).is_err() || over {
                    return;
                }
            }
        }
    }
}

/// At least one line, and as many more as were read already; none at the end.
fn next_batch(input: &mut BufReader<impl Read>, limits: Limits) -> Batch {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        let mut line = Vec::new();
        let most = limits.line_bytes_max as u64 + 1;
        if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(batch);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > limits.line_bytes_max {
            let message = format!("a line has more than {} bytes", limits.line_bytes_max);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        bytes += line.len();
        batch.push(Blob::from(line));
        let full = batch.len() >= limits.jobs_max || bytes >= limits.bytes_max;
        if full || !input.buffer().contains(&b'\n') {
            return Ok(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(input: &[u8], limits: Limits) -> Vec<Result<Vec<Blob>, String>> {
        let (sender, mut receiver) = mpsc::channel(100);
        gather(input, limits, &sender);
        drop(sender);
        std::iter::from_fn(|| receiver.blocking_recv())
            .map(|batch| batch.map_err(|error| error.to_string()))
            .collect()
    }

    fn lines(lines: &[&str]) -> Result<Vec<Blob>, String> {
        Ok(lines.iter().map(|line| Blob::from(*line)).collect())
    }

    #[test]
    fn each_line_is_a_payload_the_empty_ones_and_the_last_too() {
        let read = batches(b"a\n\nb c\nend", Limits::new());
        // The last has no end yet when it is read, so it could not be told from one under way.
        assert_eq!(read, [lines(&["a", "", "b c"]), lines(&["end"])]);
        assert_eq!(batches(b"", Limits::new()), []);
    }

    #[test]
    fn a_batch_is_bounded_by_jobs_and_by_bytes() {
        let few = Limits { jobs_max: 2, ..Limits::new() };
        assert_eq!(batches(b"1\n2\n3\n", few), [lines(&["1", "2"]), lines(&["3"])]);
        let small = Limits { bytes_max: 3, ..Limits::new() };
        assert_eq!(batches(b"aa\nbb\nc\n", small), [lines(&["aa", "bb"]), lines(&["c"])]);
    }

    #[test]
    fn a_line_too_long_is_refused_not_cut() {
        let short = Limits { line_bytes_max: 3, ..Limits::new() };
        assert_eq!(batches(b"abc\nabc", short), [lines(&["abc"]), lines(&["abc"])]);
        let read = batches(b"abcd\n", short);
        assert!(read[0].as_ref().unwrap_err().contains("more than 3 bytes"), "{read:?}");
    }
}
