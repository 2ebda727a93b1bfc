//! [`Envelope`]: a request as Go's `net/rpc/jsonrpc` sends it, with its argument unparsed.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A request. As in Go, member names are case-insensitive, unknown members are ignored, the last of
/// duplicate members counts, and null means absent.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) method: Cow<'a, str>,
    /// Any JSON.
    pub(crate) params: Option<&'a str>,
    /// Any JSON.
    pub(crate) id: Option<&'a str>,
    /// True if it has a version of JSON-RPC, as 2.0 does and 1.0 does not.
    pub(crate) has_version: bool,
}

impl<'a> Envelope<'a> {
    /// Parses a request. Returns `None` if it is not JSON, or its method is not a string: no answer
    /// is possible.
    pub(crate) fn read(value: &'a [u8]) -> Option<Self> {
        // Validates UTF-8 once, for everything read from it.
        let text = std::str::from_utf8(value).ok()?;
        serde_json::from_str(text).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectMembers(PhantomData))
    }
}

struct ObjectMembers<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for ObjectMembers<'a> {
    type Value = Envelope<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Self::Value, M::Error> {
        let mut envelope = Envelope::default();
        while let Some(JsonText(name)) = members.next_key()? {
            if name.eq_ignore_ascii_case("method") {
                if let Some(JsonText(method)) = members.next_value()? {
                    envelope.method = method;
                }
            } else if name.eq_ignore_ascii_case("params") {
                envelope.params = members.next_value::<Option<&RawValue>>()?.map(RawValue::get);
            } else if name.eq_ignore_ascii_case("id") {
                envelope.id = members.next_value::<Option<&RawValue>>()?.map(RawValue::get);
            } else {
                envelope.has_version |= name == "jsonrpc";
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(envelope)
    }
}

/// Text that is borrowed if it has no escapes.
#[derive(Debug, Default)]
pub(crate) struct JsonText<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(JsonTextVisitor(PhantomData))
    }
}

struct JsonTextVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for JsonTextVisitor<'a> {
    type Value = JsonText<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(JsonText(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(JsonText(Cow::Owned(text.to_owned())))
    }
}

/// Up to `N` values of a list, as Go reads a list into an array: missing or null values are zero,
/// further ones are ignored.
#[derive(Debug)]
pub(crate) struct FirstValues<T, const N: usize>(pub(crate) [T; N]);

impl<'de, T: Deserialize<'de> + Default, const N: usize> Deserialize<'de> for FirstValues<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FirstValuesVisitor(PhantomData))
    }
}

impl<T: Default, const N: usize> Default for FirstValues<T, N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

struct FirstValuesVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default, const N: usize> Visitor<'de> for FirstValuesVisitor<T, N> {
    type Value = FirstValues<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut values: S) -> Result<Self::Value, S::Error> {
        let mut first = FirstValues::default();
        for place in &mut first.0 {
            match values.next_element::<Option<T>>()? {
                None => return Ok(first),
                Some(value) => *place = value.unwrap_or_default(),
            }
        }
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}

/// The reason why an argument is invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArgumentError {
    /// The message is that of Go.
    #[error("jsonrpc: request body missing params")]
    Missing,
    #[error("jsonrpc: {0}")]
    Wrong(#[from] serde_json::Error),
}

/// Returns the argument: the first of `params`, or the zero value.
pub(crate) fn argument<'a, T: Deserialize<'a> + Default>(
    params: Option<&'a str>,
) -> Result<T, ArgumentError> {
    let FirstValues([argument]) = serde_json::from_str(params.ok_or(ArgumentError::Missing)?)?;
    Ok(argument)
}

/// Returns the argument unparsed; null for the zero value.
pub(crate) fn raw_argument(params: Option<&str>) -> Result<&str, ArgumentError> {
    let argument: Option<&RawValue> = argument(params)?;
    Ok(argument.map_or("null", RawValue::get))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g2_members_are_read_as_go_reads_them() {
        let text = br#"{"METHOD":"\u0041.b","x":{"id":9},"Id":1,"params":[1],"id": {"a":[]} }"#;
        let envelope = Envelope::read(text).unwrap();
        assert_eq!(envelope.method, "A.b");
        assert_eq!((envelope.params, envelope.id), (Some("[1]"), Some(r#"{"a":[]}"#)));
        let nothing = Envelope::read(br#"{"method":null,"params":null,"id":null}"#).unwrap();
        assert_eq!((&*nothing.method, nothing.params, nothing.id), ("", None, None));
        for bad in [
            &br#"{"method":5}"#[..],
            b"{\"id\":\"\xff\"}",
            b"{\"x\":\"\xff\"}",
            b"[1]",
            b"{\"a\" 1}",
        ] {
            assert!(Envelope::read(bad).is_none(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn g3_what_is_missing_or_null_is_zero_and_what_is_too_much_is_ignored() {
        for params in ["[]", "[null]", "[null,1]"] {
            assert_eq!(argument::<i64>(Some(params)).unwrap(), 0, "{params}");
            assert_eq!(raw_argument(Some(params)).unwrap(), "null");
        }
        assert_eq!(argument::<i64>(Some("[7,\"x\",{}]")).unwrap(), 7);
        assert_eq!(raw_argument(Some("[ {\"a\" : 1} , 2]")).unwrap(), "{\"a\" : 1}");
        let pair = |params| {
            let FirstValues([JsonText(a), JsonText(b)]) =
                argument::<FirstValues<JsonText<'_>, 2>>(Some(params)).unwrap();
            (a.into_owned(), b.into_owned())
        };
        assert_eq!(pair(r#"[["a","\n"]]"#), ("a".to_owned(), "\n".to_owned()));
        assert_eq!(pair(r#"[["a"]]"#), ("a".to_owned(), String::new()));
        assert_eq!(pair(r#"[[null,"b","c"]]"#), (String::new(), "b".to_owned()));
        let missing = argument::<i64>(None).unwrap_err().to_string();
        assert_eq!(missing, "jsonrpc: request body missing params");
        for params in ["{}", "[\"x\"]", "5", "[1.5]", "[99999999999999999999]"] {
            assert!(argument::<i64>(Some(params)).is_err(), "{params}");
        }
    }
}
