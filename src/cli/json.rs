//! [`Object`]: one JSON object on one line, with its members in the order a reader wants.

use std::fmt::{self, Display, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::{Blob, Event, EventKind, KeyValue};

/// A JSON object being written. (`serde_json`'s map would sort the members by name.)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Object {
    members: String,
}

impl Object {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn text(self, name: &str, text: &str) -> Self {
        self.member(name, serde_json::Value::from(text))
    }

    pub(crate) fn number(self, name: &str, number: u64) -> Self {
        self.member(name, number)
    }

    pub(crate) fn flag(self, name: &str, flag: bool) -> Self {
        self.member(name, flag)
    }

    pub(crate) fn null(self, name: &str) -> Self {
        self.member(name, "null")
    }

    pub(crate) fn object(self, name: &str, object: Object) -> Self {
        self.member(name, object)
    }

    pub(crate) fn list(self, name: &str, items: impl IntoIterator<Item = Object>) -> Self {
        let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
        self.member(name, format_args!("[{}]", items.join(",")))
    }

    pub(crate) fn texts<'a>(self, name: &str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<_> = texts.into_iter().collect();
        self.member(name, serde_json::Value::from(texts))
    }

    /// Bytes: `name` as a string where they are UTF-8, else `name_base64`.
    pub(crate) fn bytes(self, name: &str, bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(name, text),
            Err(_) => self.text(&format!("{name}_base64"), &BASE64_STANDARD.encode(bytes)),
        }
    }

    /// Everything about a key but the key and, with `keys_only`, the value.
    pub(crate) fn state(self, kv: &KeyValue, keys_only: bool) -> Self {
        let object = if keys_only { self } else { self.bytes("value", &kv.value) };
        let object = object
            .number("create_revision", kv.create_revision)
            .number("mod_revision", kv.mod_revision)
            .number("version", kv.version);
        if kv.lease == 0 { object } else { object.number("lease", kv.lease) }
    }

    /// `previous`: a key as it was before, or null.
    pub(crate) fn previous(self, previous: Option<&KeyValue>, keys_only: bool) -> Self {
        match previous {
            Some(kv) => self.object("previous", Object::new().state(kv, keys_only)),
            None => self.null("previous"),
        }
    }

    /// `name` must need no escapes, `value` must be JSON.
    fn member(mut self, name: &str, value: impl Display) -> Self {
        let comma = if self.members.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(self.members, "{comma}\"{name}\":{value}");
        self
    }
}

impl Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.members)
    }
}

/// A key in a list: `revision` is the one it was read at.
pub(crate) fn key_value(revision: u64, kv: &KeyValue, keys_only: bool) -> Object {
    Object::new().number("revision", revision).bytes("key", &kv.key).state(kv, keys_only)
}

/// An event: `revision` is the one that made it. `previous`: whether that was asked for.
pub(crate) fn event(event: &Event, keys_only: bool, previous: bool) -> Object {
    let object = Object::new().text("type", event_type(event)).bytes("key", &event.kv.key);
    let put = event.kind() == EventKind::Put;
    let object = if put && !keys_only { object.bytes("value", &event.kv.value) } else { object };
    let object = object.number("revision", event.revision());
    let object = if put { version(object, &event.kv) } else { object };
    if previous { object.previous(event.previous.as_deref(), keys_only) } else { object }
}

/// A key of the snapshot a watch begins with: `revision` is the one that last changed the key.
pub(crate) fn snapshot(kv: &KeyValue, keys_only: bool) -> Object {
    let object = Object::new().text("type", "snapshot").bytes("key", &kv.key);
    let object = if keys_only { object } else { object.bytes("value", &kv.value) };
    version(object.number("revision", kv.mod_revision), kv)
}

/// `put` or `delete`.
pub(crate) fn event_type(event: &Event) -> &'static str {
    match event.kind() {
        EventKind::Put => "put",
        EventKind::Delete => "delete",
    }
}

fn version(object: Object, kv: &KeyValue) -> Object {
    let object = object.number("create_revision", kv.create_revision).number("version", kv.version);
    if kv.lease == 0 { object } else { object.number("lease", kv.lease) }
}

/// Reads what [`Object::bytes`] writes under `name_base64`.
pub(crate) fn from_base64(text: &str) -> Result<Blob, String> {
    BASE64_STANDARD.decode(text).map(Blob::from).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn kv(key: &[u8], value: &[u8]) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: value.into(),
            create_revision: 2,
            mod_revision: 3,
            version: 2,
            lease: 0,
        }
    }

    #[test]
    fn members_keep_their_order_and_escape_their_text() {
        let object = Object::new()
            .text("type", "a \"b\"\n\u{1}")
            .number("n", u64::MAX)
            .list("list", [Object::new().flag("x", true), Object::new()])
            .null("none");
        let text = object.to_string();
        assert_eq!(
            text,
            r#"{"type":"a \"b\"\n\u0001","n":18446744073709551615,"list":[{"x":true},{}],"none":null}"#
        );
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_base64() {
        let put = Event { kv: Arc::new(kv(b"a\xff", b"\xfe\xfd")), previous: None };
        assert_eq!(
            event(&put, false, false).to_string(),
            r#"{"type":"put","key_base64":"Yf8=","value_base64":"/v0=","revision":3,"create_revision":2,"version":2}"#
        );
        assert_eq!(from_base64("Yf8=").unwrap(), b"a\xff");
        assert!(from_base64("Yf8").is_err());
    }

    #[test]
    fn a_delete_has_no_value() {
        let delete = Event {
            kv: Arc::new(KeyValue::tombstone("a".into(), 7)),
            previous: Some(Arc::new(KeyValue { lease: 5, ..kv(b"a", b"old") })),
        };
        assert_eq!(
            event(&delete, false, true).to_string(),
            r#"{"type":"delete","key":"a","revision":7,"previous":{"value":"old","create_revision":2,"mod_revision":3,"version":2,"lease":5}}"#
        );
    }

    #[test]
    fn keys_only_leaves_values_out() {
        let put = Event { kv: Arc::new(kv(b"a", b"")), previous: Some(Arc::new(kv(b"a", b""))) };
        assert!(!event(&put, true, true).to_string().contains("value"));
        assert!(!snapshot(&put.kv, true).to_string().contains("value"));
        assert!(!key_value(9, &put.kv, true).to_string().contains("value"));
        assert_eq!(
            snapshot(&put.kv, false).to_string(),
            r#"{"type":"snapshot","key":"a","value":"","revision":3,"create_revision":2,"version":2}"#
        );
    }
}
