//! The parts of a load and a fan-out that are specific to Redis, so that the same code compares it:
//! its commands and replies, a [`Subscriber`] and a [`Publisher`].

use std::io::{self, Read, Write};
use std::net::TcpStream;

use wakeful::Error;

use super::caller::{broken, dial, lost};
use super::connection::Connection;
use crate::wire::Wire;

/// The only channel.
const CHANNEL: &str = "fan-out";

/// A connection that has subscribed.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) connection: Connection,
    /// The bytes of every message.
    message: Vec<u8>,
}

/// A connection that publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    socket: TcpStream,
    command: Vec<u8>,
}

impl Subscriber {
    /// Connects and subscribes; messages will have a payload of `payload` bytes.
    pub(super) fn connect(addr: &str, payload: usize) -> Result<Self, Error> {
        let mut socket = dial(addr)?;
        socket.write_all(&command(&["SUBSCRIBE", CHANNEL])).map_err(lost)?;
        let confirmed = b"*3\r\n$9\r\nsubscribe\r\n$7\r\nfan-out\r\n:1\r\n";
        let mut said = vec![0; confirmed.len()];
        socket.read_exact(&mut said).map_err(lost)?;
        if said != confirmed {
            return Err(broken(&format!("not a Redis: {:?}", String::from_utf8_lossy(&said))));
        }
        let connection = Connection::new(Wire::Plain(socket), Vec::new())?;
        let message = command(&["message", CHANNEL, &"x".repeat(payload)]);
        Ok(Self { connection, message })
    }

    /// Reads the available bytes; returns the number of messages.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> Result<u64, Error> {
        let (mut messages, message) = (0, &self.message);
        self.connection.receive(scratch, |bytes, _| {
            let whole = bytes.chunks_exact(message.len());
            let rest = whole.remainder().len();
            for one in whole {
                if one != message {
                    return Err(broken("not the message that was published"));
                }
                messages += 1;
            }
            Ok(bytes.len() - rest)
        })?;
        Ok(messages)
    }
}

impl Publisher {
    /// Connects.
    pub(super) fn connect(addr: &str, payload: usize) -> Result<Self, Error> {
        let command = command(&["PUBLISH", CHANNEL, &"x".repeat(payload)]);
        Ok(Self { socket: dial(addr)?, command })
    }

    /// Publishes without awaiting the answer.
    pub(super) fn publish(&mut self) -> Result<(), Error> {
        self.socket.write_all(&self.command).map_err(lost)
    }

    /// Awaits the answer.
    pub(super) fn published(&mut self) -> Result<(), Error> {
        let mut byte = [0];
        while byte != *b"\n" {
            if self.socket.read(&mut byte).map_err(lost)? == 0 {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }
}

/// Counts the complete replies in `bytes`, and passes each error to `on_error`; returns the number of
/// replies and their size in bytes.
pub(super) fn replies(
    bytes: &[u8],
    mut on_error: impl FnMut(&[u8]),
) -> Result<(usize, u64), Error> {
    let (mut left, mut count) = (bytes, 0);
    while let Some(end) = left.windows(2).position(|window| window == b"\r\n") {
        let (line, rest) = left.split_at_checked(end).unwrap_or((left, &[]));
        let mut after = rest.get(2..).unwrap_or_default();
        match line {
            [b'+' | b':', ..] | b"$-1" => {}
            [b'-', error @ ..] => on_error(error),
            [b'$', length @ ..] => {
                let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
                let length: usize = length.ok_or_else(|| broken("not a reply of Redis"))?;
                match after.get(length + 2..) {
                    Some(rest) => after = rest,
                    None => break,
                }
            }
            _ => return Err(broken("not a reply of Redis")),
        }
        left = after;
        count += 1;
    }
    Ok((bytes.len() - left.len(), count))
}

/// Returns an array of bulk strings, the form of commands and messages.
pub(super) fn command(words: &[&str]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    command.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_replies_are_counted_and_the_rest_is_left() {
        let all = b"+OK\r\n$3\r\na\r\n\r\n$-1\r\n-ERR no\r\n:7\r\n$2\r\nxy\r\n";
        for end in 0..all.len() {
            let mut errors = 0;
            let (taken, count) = replies(&all[..end], |_| errors += 1).unwrap();
            assert!(taken <= end && count < 6);
            let (rest, more) = replies(&all[taken..], |_| errors += 1).unwrap();
            assert_eq!((taken + rest, count + more, errors), (all.len(), 6, 1));
        }
        replies(b"HTTP/1.1 200\r\n", |_| ()).unwrap_err();
    }
}
