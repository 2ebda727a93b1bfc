//! [`Inbox`]: decodes the bytes of a peer into items, up to enough items for one turn.

use std::time::Instant;

use super::output::{keep_spare, spare_buffer};
use super::protocol::{Decoded, Fatal, Protocol, ReadContext, Received};
use crate::config::RpcConfig;
use crate::model::{KeyBuffer, RpcCall};

/// The items that a peer has sent, and the bytes that are not decoded yet.
pub(crate) struct Inbox<W: Protocol> {
    /// The start of an incomplete item.
    partial: Vec<u8>,
    /// When the incomplete item began.
    pub(crate) partial_since: Option<Instant>,
    /// When bytes were last read.
    read_at: Option<Instant>,
    /// The decoded items, in order.
    received: Vec<Received<W::Own>>,
    /// The keys and values of `received`.
    keys: KeyBuffer,
    /// The number of heavy items in `received`.
    heavy: usize,
    /// Items since the last turn that request nothing.
    idle: u64,
    /// True if `partial` may hold complete items, left for the next turn.
    pub(crate) full: bool,
    /// Why the input cannot be decoded any further; reported after the items before it.
    broken: Option<&'static str>,
    /// True if the peer must log in and has not.
    pub(crate) stranger: bool,
}

impl<W: Protocol> Inbox<W> {
    pub(crate) fn new() -> Self {
        Self {
            partial: Vec::new(),
            partial_since: None,
            read_at: None,
            received: Vec::new(),
            keys: KeyBuffer::default(),
            heavy: 0,
            idle: 0,
            full: false,
            broken: None,
            stranger: false,
        }
    }

    /// Decodes the bytes of a read.
    pub(crate) fn push(
        &mut self,
        protocol: &mut W,
        bytes: &[u8],
        now: Instant,
        config: &RpcConfig,
    ) -> Result<(), Fatal> {
        self.read_at = Some(now);
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            return self.resume(protocol, now, config);
        }
        let used = self.parse(protocol, bytes, now, config)?;
        self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
        self.note_partial(now, used > 0);
        Ok(())
    }

    /// Continues with the bytes that an earlier turn left.
    pub(crate) fn resume(
        &mut self,
        protocol: &mut W,
        now: Instant,
        config: &RpcConfig,
    ) -> Result<(), Fatal> {
        let mut partial = std::mem::take(&mut self.partial);
        // Deadlines count from when the bytes were read, however long they waited for a turn.
        let used = self.parse(protocol, &partial, self.read_at.unwrap_or(now), config)?;
        partial.drain(..used);
        if partial.is_empty() {
            partial = Vec::new();
        }
        self.partial = partial;
        self.note_partial(now, used > 0);
        Ok(())
    }

    /// Returns true if there are items.
    pub(super) fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    /// Takes all items with their keys and values, which makes room for those of the next turn.
    pub(crate) fn take(&mut self) -> (Vec<Received<W::Own>>, KeyBuffer) {
        self.heavy = 0;
        (std::mem::take(&mut self.received), std::mem::take(&mut self.keys))
    }

    /// Returns and resets the number of items since the last turn that request nothing: pings,
    /// cancels, credits and goodbyes.
    pub(super) fn take_idle(&mut self) -> u64 {
        std::mem::take(&mut self.idle)
    }

    fn note_partial(&mut self, now: Instant, progress: bool) {
        if self.partial.is_empty() || self.full {
            self.partial_since = None;
        } else if progress || self.partial_since.is_none() {
            self.partial_since = Some(now);
        }
    }

    /// Decodes complete items from `bytes` while there is room; returns the number of bytes used.
    fn parse(
        &mut self,
        protocol: &mut W,
        bytes: &[u8],
        now: Instant,
        config: &RpcConfig,
    ) -> Result<usize, Fatal> {
        if let Some(why) = self.broken {
            return Err(Fatal::Silent(why));
        }
        self.full = false;
        // An idle connection has no buffer.
        let mut keys = std::mem::take(&mut self.keys);
        if keys.is_empty() {
            keys = KeyBuffer::new(spare_buffer());
        }
        let reading = ReadContext { now, stranger: self.stranger, config, keys: &mut keys };
        let used = self.parse_items(protocol, bytes, reading);
        if keys.is_empty() {
            keep_spare(keys.into_bytes());
        } else {
            self.keys = keys;
        }
        used
    }

    fn parse_items(
        &mut self,
        protocol: &mut W,
        bytes: &[u8],
        mut reading: ReadContext<'_>,
    ) -> Result<usize, Fatal> {
        let config = reading.config;
        let mut at = 0;
        loop {
            if self.has_enough(config) {
                self.full = true;
                break;
            }
            match protocol.read(bytes.get(at..).unwrap_or_default(), &mut reading)? {
                Decoded::Partial { used } => {
                    at += used;
                    break;
                }
                Decoded::Item { used, received, is_idle } => {
                    at += used;
                    self.idle += u64::from(is_idle);
                    let Some(received) = received else { continue };
                    self.heavy += usize::from(is_heavy::<W>(&received));
                    let login = self.stranger && is_login::<W>(&received);
                    self.received.push(received);
                    if login {
                        // The result of the login decides how long the next item may be.
                        self.full = true;
                        break;
                    }
                }
                // The rest cannot be decoded; the items before it still have their turn.
                Decoded::Broken(why) if self.received.is_empty() => return Err(Fatal::Silent(why)),
                Decoded::Broken(why) => {
                    self.broken = Some(why);
                    self.full = true;
                    return Ok(bytes.len());
                }
            }
        }
        Ok(at)
    }

    /// Returns true if the items are enough for one turn.
    fn has_enough(&self, config: &RpcConfig) -> bool {
        self.received.len() >= config.requests_in_flight_max
            || self.heavy >= config.heavy_requests_max
    }

    /// Returns the number of items, and of heavy ones among them.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.received.len(), self.heavy)
    }

    /// Returns true if no incomplete item is held.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }
}

fn is_heavy<W: Protocol>(received: &Received<W::Own>) -> bool {
    match received {
        Received::Request { call, .. } => {
            (**call).as_ref().is_ok_and(|call| call.facts().weight.is_heavy())
        }
        Received::Own(own) => W::is_heavy(own),
        Received::Key { .. } => false,
        Received::Cancel(_) | Received::Credit { .. } | Received::Goodbye => false,
    }
}

/// Returns true if the item is a login, whose result decides how long the next item may be.
pub(super) fn is_login<W: Protocol>(received: &Received<W::Own>) -> bool {
    match received {
        Received::Request { call, .. } => matches!(**call, Ok(RpcCall::Login(_))),
        Received::Own(own) => W::is_login(own),
        Received::Key { .. } => false,
        Received::Cancel(_) | Received::Credit { .. } | Received::Goodbye => false,
    }
}
