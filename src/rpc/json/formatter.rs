//! [`WireFormatter`]: wire types as JSON, by the names that `docs/protocol.md` gives them.

use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// Appends `body`, omitting the names of the outermost `choices` enums: a structure is an object of
/// its fields, an enum is the name of its variant, or an object with that name and its content. A
/// variant without content is an empty object, because no answer is null.
pub(crate) fn append(out: &mut Vec<u8>, body: &impl Serialize, choices: usize) -> io::Result<()> {
    let start = out.len();
    let formatter = WireFormatter { choices, opened: 0, depth: 0 };
    body.serialize(&mut Serializer::with_formatter(&mut *out, formatter))?;
    if out.len() == start {
        out.extend_from_slice(b"{}");
    }
    Ok(())
}

/// Appends bytes: as text if they are UTF-8.
pub(crate) fn append_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    write_bytes(out, bytes)
}

/// Appends text in quotes.
pub(crate) fn append_text(out: &mut Vec<u8>, text: &str) {
    // Text is always valid JSON, and writing to a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn write_bytes<W: Write + ?Sized>(writer: &mut W, bytes: &[u8]) -> io::Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::to_writer(writer, text).map_err(io::Error::from),
        Err(_) => write!(writer, r#"{{"base64":"{}"}}"#, BASE64_STANDARD.encode(bytes)),
    }
}

struct WireFormatter {
    /// The number of outermost enums that are omitted.
    choices: usize,
    /// The number of those whose content has begun.
    opened: usize,
    depth: usize,
}

impl WireFormatter {
    /// Returns true while the output belongs to an omitted enum.
    fn is_outside(&self) -> bool {
        self.opened < self.choices
    }
}

impl Formatter for WireFormatter {
    fn write_byte_array<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        value: &[u8],
    ) -> io::Result<()> {
        write_bytes(writer, value)
    }

    fn begin_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.is_outside() { Ok(()) } else { CompactFormatter.begin_object(writer) }
    }

    fn end_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.depth < self.choices { Ok(()) } else { CompactFormatter.end_object(writer) }
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.is_outside() {
            self.opened += 1;
            return Ok(());
        }
        CompactFormatter.begin_object_value(writer)
    }

    fn begin_string<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.is_outside() { Ok(()) } else { CompactFormatter.begin_string(writer) }
    }

    fn end_string<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.is_outside() { Ok(()) } else { CompactFormatter.end_string(writer) }
    }

    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if self.is_outside() {
            return Ok(());
        }
        CompactFormatter.write_string_fragment(writer, fragment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Blob, GetReply, JobReply, KeyRange, KeyValue, Pushed, Reply, WatcherInfo, WatcherKind,
        WatchersReply,
    };
    use crate::rpc::proto::WireReply;

    fn json(reply: &Reply, choices: usize) -> String {
        let mut out = Vec::new();
        append(&mut out, &WireReply::from(reply), choices).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        text
    }

    #[test]
    fn g6_replies_are_the_fields_of_the_document() {
        let kv = KeyValue {
            key: "a\"".into(),
            value: b"\xfe\xfd".into(),
            create_revision: 2,
            mod_revision: u64::MAX,
            version: 2,
            lease: 0,
        };
        let reply = Reply::Get(GetReply { revision: 3, kv: Some(kv.into()) });
        let expected = r#"{"revision":3,"kv":{"key":"a\"","value":{"base64":"/v0="},"create_revision":2,"mod_revision":18446744073709551615,"version":2,"lease":"0"}}"#;
        assert_eq!(json(&reply, 1), expected);
        let watcher = WatcherInfo {
            id: 5,
            kind: WatcherKind::Wait,
            owner: "me".into(),
            range: KeyRange::prefix("a/"),
            behind: 0,
        };
        let watchers = vec![watcher];
        let reply = Reply::Watchers(WatchersReply { revision: 9, watchers, more: false });
        let expected = r#"{"revision":9,"watchers":[{"id":"5","watch":false,"owner":"me","range":{"Prefix":"a/"},"behind":0}],"more":false}"#;
        assert_eq!(json(&reply, 1), expected);
        let pushed = Pushed { id: 7, state: crate::JobState::Ready, existing: false };
        let reply = Reply::Job(JobReply::Pushed(vec![pushed]));
        let expected = r#"{"pushed":[{"id":7,"state":"Ready","existing":false}]}"#;
        assert_eq!(json(&reply, 2), expected);
        assert_eq!(json(&Reply::ReadSnapshot("part".into()), 1), r#""part""#);
        assert_eq!(json(&Reply::ReadSnapshot(Blob::default()), 1), r#""""#);
        assert_eq!(json(&Reply::Services(Vec::new()), 1), "[]");
        assert_eq!(json(&Reply::EndWatcher, 1), "{}");
    }
}
