//! [`Beanstalkd`]: its commands and answers, as in its `doc/protocol.txt`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use wakeful::Error;
use wakeful::Reservation;

use super::super::caller::{broken, lost};
use super::peer::{Heard, Speech};

/// The tube of the benchmark.
const TUBE: &str = "bench";

/// The protocol of a beanstalkd.
#[derive(Debug)]
pub(super) struct Beanstalkd {
    put: Vec<u8>,
}

impl Beanstalkd {
    /// Uses and watches the tube; both are confirmed in turn.
    pub(super) fn begin(socket: &mut TcpStream, payload_bytes: usize) -> Result<Self, Error> {
        let begin = format!("use {TUBE}\r\nwatch {TUBE}\r\nignore default\r\n");
        socket.write_all(begin.as_bytes()).map_err(lost)?;
        let mut answers = BufReader::new(socket);
        for expected in ["USING bench\r\n", "WATCHING 2\r\n", "WATCHING 1\r\n"] {
            let mut line = String::new();
            answers.read_line(&mut line).map_err(lost)?;
            if line != expected {
                return Err(broken(&format!("not a beanstalkd: {line:?}")));
            }
        }
        // The time to run is longer than any round.
        let mut put = format!("put 0 0 600 {payload_bytes}\r\n").into_bytes();
        put.resize(put.len() + payload_bytes, b'x');
        put.extend_from_slice(b"\r\n");
        Ok(Self { put })
    }
}

impl Speech for Beanstalkd {
    fn push(&mut self, out: &mut Vec<u8>, count: u64, _: u64) -> Result<(), Error> {
        (0..count).for_each(|_| out.extend_from_slice(&self.put));
        Ok(())
    }

    fn reserve(&mut self, out: &mut Vec<u8>, count: u64, _: u64) -> Result<u64, Error> {
        (0..count).for_each(|_| out.extend_from_slice(b"reserve\r\n"));
        Ok(count)
    }

    fn settle(&mut self, out: &mut Vec<u8>, jobs: &[Reservation], _: u64) -> Result<(), Error> {
        for job in jobs {
            write!(out, "delete {}\r\n", job.id).map_err(lost)?;
        }
        Ok(())
    }

    fn hear(&mut self, bytes: &[u8], _: &mut Vec<u8>, heard: &mut Heard) -> Result<usize, Error> {
        let mut left = bytes;
        while let Some(end) = left.iter().position(|byte| *byte == b'\n') {
            let (line, mut rest) = left.split_at_checked(end + 1).unwrap_or((left, &[]));
            let line = std::str::from_utf8(line).map_err(|_| broken("not an answer"))?;
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("INSERTED") => heard.pushed += 1,
                Some("DELETED") => heard.settled += 1,
                Some("RESERVED") => {
                    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
                    let (Some(id), Some(length)) = (number(), number()) else {
                        return Err(broken(&format!("not an answer: {line:?}")));
                    };
                    match rest.get(length as usize + 2..) {
                        Some(after) => rest = after,
                        None => break,
                    }
                    heard.jobs.push(Reservation { id, epoch: 1 });
                    heard.reserves += 1;
                }
                _ => return Err(broken(&format!("beanstalkd says {line:?}"))),
            }
            left = rest;
        }
        Ok(bytes.len() - left.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_taken_and_the_rest_is_left() {
        let all = b"INSERTED 7\r\nRESERVED 7 4\r\na\r\nb\r\nDELETED\r\nRESERVED 9 0\r\n\r\n";
        for end in 0..all.len() {
            let mut speech = Beanstalkd { put: Vec::new() };
            let mut heard = Heard::default();
            let taken = speech.hear(&all[..end], &mut Vec::new(), &mut heard).unwrap();
            assert!(taken <= end && heard.jobs.len() < 2);
            let rest = speech.hear(&all[taken..], &mut Vec::new(), &mut heard).unwrap();
            assert_eq!(taken + rest, all.len());
            assert_eq!((heard.pushed, heard.settled, heard.reserves), (1, 1, 2));
            assert_eq!(heard.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [7, 9]);
        }
        let mut speech = Beanstalkd { put: Vec::new() };
        speech.hear(b"OUT_OF_MEMORY\r\n", &mut Vec::new(), &mut Heard::default()).unwrap_err();
    }
}
