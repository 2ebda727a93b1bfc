//! `wakeful job push --lines`: each line of standard input is a job.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Instant;

use tokio::sync::mpsc;

use super::SAY_EVERY;
use super::push::{PushTarget, show};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::cli::server_limits;
use crate::config::QueueConfig;
use crate::{Blob, Operations};

/// Lines to push together, or the reason why no more can be read.
type LineBatch = Result<Vec<Blob>, Failure>;

/// Pushes lines as they arrive: those that are ready form one batch, and the next batch collects
/// while this one is pushed.
pub(super) async fn run(
    target: &PushTarget,
    jobs: &impl Operations,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let limits = BatchLimits::of(&server_limits::ask(jobs).await?.queue);
    let (batches, mut read) = mpsc::channel(2);
    std::thread::spawn(move || gather(io::stdin().lock(), limits, &batches));
    let (mut count, mut said) = (0, Instant::now());
    // With long names, fewer jobs fit in one request.
    let mut jobs_max = limits.jobs_max;
    while let Some(batch) = read.recv().await {
        let mut left = batch.map_err(|failure| at_line(failure, count, 1))?;
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

/// Adds the position of a failure, and the number of lines pushed before it.
fn at_line(mut failure: Failure, pushed: u64, size: usize) -> Failure {
    if let Failure::Told { message, .. } = &mut failure {
        let first = pushed + 1;
        let last = pushed + size as u64;
        let lines = if first == last {
            format!("line {first}")
        } else {
            format!("lines {first} to {last}")
        };
        let before = match pushed {
            0 => "nothing was pushed".to_owned(),
            1 => "the line before it was pushed".to_owned(),
            _ => format!("the {pushed} lines before it were pushed"),
        };
        *message = format!("{lines}: {message}; {before}");
    }
    failure
}

/// The limits of one batch.
#[derive(Debug, Clone, Copy)]
struct BatchLimits {
    jobs_max: usize,
    bytes_max: usize,
    line_bytes_max: usize,
}

impl BatchLimits {
    /// Returns the limits of a server, less the room for the names that each job carries.
    fn of(queue: &QueueConfig) -> Self {
        Self {
            jobs_max: queue.push_jobs_max,
            bytes_max: queue.push_bytes_max / 2,
            line_bytes_max: queue.payload_bytes_max,
        }
    }
}

/// Reads lines to the end of `input`, to the first that cannot be pushed, or until the receiver is
/// gone. Sends the lines before a failure first.
fn gather(input: impl Read, limits: BatchLimits, batches: &mpsc::Sender<LineBatch>) {
    let mut input = BufReader::with_capacity(256 * 1024, input);
    loop {
        let (batch, failure) = next_batch(&mut input, limits);
        let over = batch.is_empty();
        if !over && batches.blocking_send(Ok(batch)).is_err() {
            return;
        }
        if let Some(failure) = failure {
            // If the receiver is gone, the command ended for another reason.
            let _ = batches.blocking_send(Err(failure));
            return;
        }
        if over {
            return;
        }
    }
}

/// Returns at least one line, and all further lines already read; none at the end. Also returns why
/// the next line cannot be read.
fn next_batch(
    input: &mut BufReader<impl Read>,
    limits: BatchLimits,
) -> (Vec<Blob>, Option<Failure>) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        let line = match next_line(input, limits.line_bytes_max) {
            Ok(Some(line)) => line,
            Ok(None) => return (batch, None),
            Err(failure) => return (batch, Some(failure)),
        };
        bytes += line.len();
        batch.push(Blob::from(line));
        let full = batch.len() >= limits.jobs_max || bytes >= limits.bytes_max;
        if full || !input.buffer().contains(&b'\n') {
            return (batch, None);
        }
    }
}

/// Returns the next line without its end; `None` at the end of the input.
fn next_line(
    input: &mut BufReader<impl Read>,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let read = input.by_ref().take(bytes_max as u64 + 1).read_until(b'\n', &mut line);
    if read.map_err(|error| Failure::io("standard input", &error))? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > bytes_max {
        let message =
            format!("the line is longer than {bytes_max} bytes (queue.payload_bytes_max)");
        return Err(Failure::told(Exit::Failed, "LimitExceeded", message));
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn limits() -> BatchLimits {
        BatchLimits::of(&Config::new().queue)
    }

    fn batches(input: &[u8], limits: BatchLimits) -> Vec<Result<Vec<Blob>, String>> {
        let (sender, mut receiver) = mpsc::channel(100);
        gather(input, limits, &sender);
        drop(sender);
        std::iter::from_fn(|| receiver.blocking_recv())
            .map(|batch| batch.map_err(|failure| failure.message().to_owned()))
            .collect()
    }

    fn lines(lines: &[&str]) -> Result<Vec<Blob>, String> {
        Ok(lines.iter().map(|line| Blob::from(*line)).collect())
    }

    #[test]
    fn each_line_is_a_payload_the_empty_ones_and_the_last_too() {
        let read = batches(b"a\n\nb c\nend", limits());
        // The last line has no end yet when it is read, so it could still grow.
        assert_eq!(read, [lines(&["a", "", "b c"]), lines(&["end"])]);
        assert_eq!(batches(b"", limits()), []);
    }

    #[test]
    fn a_batch_is_bounded_by_jobs_and_by_bytes() {
        let few = BatchLimits { jobs_max: 2, ..limits() };
        assert_eq!(batches(b"1\n2\n3\n", few), [lines(&["1", "2"]), lines(&["3"])]);
        let small = BatchLimits { bytes_max: 3, ..limits() };
        assert_eq!(batches(b"aa\nbb\nc\n", small), [lines(&["aa", "bb"]), lines(&["c"])]);
    }

    #[test]
    fn a_line_too_long_is_refused_not_cut() {
        let short = BatchLimits { line_bytes_max: 3, ..limits() };
        assert_eq!(batches(b"abc\nabc", short), [lines(&["abc"]), lines(&["abc"])]);
        let read = batches(b"abcd\n", short);
        assert!(read[0].as_ref().unwrap_err().contains("longer than 3 bytes"), "{read:?}");
    }

    #[test]
    fn the_lines_before_one_too_long_are_pushed_and_it_is_named_by_its_number() {
        let short = BatchLimits { line_bytes_max: 3, ..limits() };
        let read = batches(b"1\n2\nabcd\n4\n", short);
        assert_eq!(read[0], lines(&["1", "2"]));
        let too_long = read[1].as_ref().unwrap_err();
        assert_eq!(read.len(), 2, "nothing is read behind it: {read:?}");
        let told = at_line(Failure::usage(too_long.clone()), 2, 1);
        assert_eq!(
            told.message(),
            "line 3: the line is longer than 3 bytes (queue.payload_bytes_max); the 2 lines before \
             it were pushed"
        );
        assert!(at_line(Failure::usage("x"), 0, 2).message().ends_with("; nothing was pushed"));
    }
}
