//! [`ValueReader`]: wire types from JSON, by the names that `docs/protocol.md` gives them.
//!
//! Both dialects use the same types, so that they cannot diverge: a structure is an object of its
//! fields, an enum is the name of its variant, or an object with that name and its content. An
//! omitted field is zero, false, empty or none; an unknown name is refused.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::de::value::U32Deserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::node::JsonNode;

/// The defaults of omitted enums; all others are required.
const LEFT_OUT: [(&str, &str); 3] =
    [("WireCondition", "Changed"), ("WireFrom", "Now"), ("WireUnique", "Unfinished")];

/// The reason why JSON is not a valid argument: the place, and the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecodeError {
    place: String,
    what: String,
}

impl DecodeError {
    fn new(what: impl Into<String>) -> Self {
        Self { place: String::new(), what: what.into() }
    }

    fn within(mut self, name: impl Display) -> Self {
        let dot = if self.place.is_empty() { "" } else { "." };
        self.place = format!("{name}{dot}{}", self.place);
        self
    }
}

impl Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.place {
            "" => f.write_str(&self.what),
            place => write!(f, "{place}: {}", self.what),
        }
    }
}

impl std::error::Error for DecodeError {}

impl serde::de::Error for DecodeError {
    fn custom<T: Display>(what: T) -> Self {
        Self::new(what.to_string())
    }
}

/// Reads a structure.
pub(crate) fn structure<'de, T: Deserialize<'de>>(
    node: &'de JsonNode<'de>,
) -> Result<T, DecodeError> {
    T::deserialize(ValueReader::of(Some(node)))
}

/// Reads the variant of this name of an enum, whose content is `node`.
pub(crate) fn variant<'de, T: Deserialize<'de>>(
    name: &'static str,
    node: &'de JsonNode<'de>,
) -> Result<T, DecodeError> {
    T::deserialize(ChosenVariant { name, content: ValueReader::of(Some(node)) })
}

/// Returns the names of the variants of a choice.
pub(crate) fn variants<T: Deserialize<'static>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Ends with an error as soon as the names are known.
    drop(T::deserialize(VariantNames(&mut names)));
    names
}

/// Takes the names of the variants of a choice, without a value of it.
struct VariantNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for VariantNames<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
        Err(DecodeError::new(""))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, DecodeError> {
        *self.0 = variants;
        Err(DecodeError::new(""))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A value, or nothing if it is omitted.
#[derive(Debug, Clone, Copy)]
struct ValueReader<'de>(Option<&'de JsonNode<'de>>);

impl<'de> ValueReader<'de> {
    /// Treats null as omitted.
    fn of(node: Option<&'de JsonNode<'de>>) -> Self {
        Self(node.filter(|node| **node != JsonNode::Null))
    }

    fn is_no(self, expected: &str) -> DecodeError {
        let kind = self.0.map_or("nothing", JsonNode::kind);
        DecodeError::new(format!("expected {expected}, not {kind}"))
    }

    /// Reads a number, or a string of its digits, the form of ids that exceed JSON's numbers.
    fn unsigned<T: From<u64> + FromStr>(self) -> Result<T, DecodeError> {
        let number = match self.0 {
            None => Some(T::from(0)),
            Some(JsonNode::Unsigned(number)) => Some(T::from(*number)),
            Some(JsonNode::Text(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()
            }
            _ => None,
        };
        let bits = 8 * size_of::<T>();
        number.ok_or_else(|| self.is_no(&format!("a whole number from 0 to 2^{bits} - 1")))
    }
}

macro_rules! unsigned {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.visit_u64(self.unsigned()?)
        })*
    };
}

impl<'de> Deserializer<'de> for ValueReader<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
        Err(self.is_no("what the protocol has"))
    }

    unsigned!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u128(self.unsigned()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            None => visitor.visit_bool(false),
            Some(JsonNode::Bool(bool)) => visitor.visit_bool(*bool),
            _ => Err(self.is_no("true or false")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            None => visitor.visit_borrowed_str(""),
            Some(JsonNode::Text(text)) => visitor.visit_borrowed_str(text),
            _ => Err(self.is_no("a string")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            None => visitor.visit_borrowed_bytes(&[]),
            Some(JsonNode::Text(text)) => visitor.visit_borrowed_bytes(text.as_bytes()),
            Some(JsonNode::Bytes(bytes)) => visitor.visit_borrowed_bytes(bytes),
            _ => Err(self.is_no("a string or {\"base64\": ...}")),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            None => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            None => visitor.visit_unit(),
            Some(JsonNode::Object(members)) if members.is_empty() => visitor.visit_unit(),
            _ => Err(self.is_no("{}")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            None => visitor.visit_seq(Items([].iter().enumerate())),
            Some(JsonNode::List(items)) => visitor.visit_seq(Items(items.iter().enumerate())),
            _ => Err(self.is_no("a list")),
        }
    }

    /// Reads the fields in their order, as on the native wire.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let members = match self.0 {
            None => &[][..],
            Some(JsonNode::Object(members)) => members,
            _ => return Err(self.is_no("an object")),
        };
        visitor.visit_seq(FieldReader::find(fields, members)?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let (chosen, content) = match self.0 {
            None => match LEFT_OUT.iter().find(|(choice, _)| *choice == name) {
                Some((_, variant)) => (*variant, None),
                None => return Err(DecodeError::new("is required")),
            },
            Some(JsonNode::Text(variant)) => (&**variant, None),
            Some(JsonNode::Object(members)) => match &**members {
                [(variant, content)] => (&**variant, Some(content)),
                _ => {
                    return Err(DecodeError::new(
                        "expected an object with the name of one variant",
                    ));
                }
            },
            _ => return Err(self.is_no("a name, or an object with one")),
        };
        visitor.visit_enum(Variant::find(variants, chosen, ValueReader::of(content))?)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 f32 f64 char unit_struct tuple tuple_struct map identifier ignored_any
    }
}

/// Returns true if names are equal, ignoring case, and underscores that JSON has and Rust does not.
pub(super) fn same(known: &str, given: &str) -> bool {
    let letters = |name| str::bytes(name).filter(|byte| *byte != b'_');
    known == given
        || letters(known)
            .map(|byte| byte.to_ascii_lowercase())
            .eq(letters(given).map(|byte| byte.to_ascii_lowercase()))
}

/// Returns an unknown name, shortened if it is long.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

struct Items<'de>(std::iter::Enumerate<std::slice::Iter<'de, JsonNode<'de>>>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some((at, node)) = self.0.next() else { return Ok(None) };
        let item = seed.deserialize(ValueReader::of(Some(node)));
        item.map(Some).map_err(|error| error.within(at))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The fields of a structure, in their order.
struct FieldReader<'de>(std::vec::IntoIter<(&'static str, ValueReader<'de>)>);

impl<'de> FieldReader<'de> {
    /// Looks at each member once: there may be very many of the same name.
    fn find(
        fields: &'static [&'static str],
        members: &'de [(std::borrow::Cow<'de, str>, JsonNode<'de>)],
    ) -> Result<Self, DecodeError> {
        let mut found: Vec<_> = fields.iter().map(|field| (*field, ValueReader(None))).collect();
        for (name, node) in members {
            let Some((_, value)) = found.iter_mut().find(|(field, _)| same(field, name)) else {
                let name = shown(name);
                let fields = fields.join(", ");
                return Err(DecodeError::new(format!(
                    "unknown field `{name}`; the fields are {fields}"
                )));
            };
            // The last of duplicate names counts, as in Go.
            *value = ValueReader::of(Some(node));
        }
        Ok(Self(found.into_iter()))
    }
}

impl<'de> de::SeqAccess<'de> for FieldReader<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some((field, value)) = self.0.next() else { return Ok(None) };
        seed.deserialize(value).map(Some).map_err(|error| error.within(field))
    }
}

/// The chosen variant of an enum.
struct ChosenVariant<'de> {
    name: &'static str,
    content: ValueReader<'de>,
}

impl<'de> Deserializer<'de> for ChosenVariant<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
        Err(DecodeError::new("expected a unit variant"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(Variant::find(variants, self.name, self.content)?)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Variant<'de> {
    number: u32,
    content: ValueReader<'de>,
}

impl<'de> Variant<'de> {
    fn find(
        variants: &'static [&'static str],
        name: &str,
        content: ValueReader<'de>,
    ) -> Result<Self, DecodeError> {
        let found = (0..).zip(variants).find(|(_, variant)| same(variant, name));
        let Some((number, _)) = found else {
            let name = shown(name);
            let variants = variants.join(", ");
            return Err(DecodeError::new(format!(
                "unknown name `{name}`; the names are {variants}"
            )));
        };
        Ok(Self { number, content })
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = DecodeError;
    type Variant = ValueReader<'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, ValueReader<'de>), DecodeError> {
        let number: U32Deserializer<DecodeError> = self.number.into_deserializer();
        Ok((seed.deserialize(number)?, self.content))
    }
}

impl<'de> de::VariantAccess<'de> for ValueReader<'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        <()>::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::*;
    use crate::rpc::proto::{WireCall, WireJobRequest, WireRequest};

    fn request(name: &'static str, text: &str) -> Result<RpcCall, String> {
        let node = JsonNode::read(text, 1000).unwrap();
        let request: WireRequest<'_> = variant(name, &node).map_err(|error| error.to_string())?;
        Ok(RpcCall::from(WireCall { idempotency: None, request }))
    }

    #[test]
    fn g6_what_is_left_out_is_zero_and_names_are_read_whatever_their_case() {
        let said = request("Set", r#"{"key":"a","Value":{"base64":"/v0="},"TtlMs":5}"#).unwrap();
        let RpcCall::Store {
            request: Request::Store(StoreRequest::Kv(KvRequest::Set(set))), ..
        } = said
        else {
            panic!("{said:?}")
        };
        assert_eq!((&*set.key, &*set.value), (&b"a"[..], &b"\xfe\xfd"[..]));
        assert!(set.ttl.is_some() && set.lease == 0 && !set.only_if_changed);
        let said = request("Wait", r#"{"range":{"prefix":"a/"},"after":null}"#).unwrap();
        let RpcCall::Wait(wait) = said else { panic!("{said:?}") };
        assert_eq!((wait.range, wait.condition), (KeyRange::prefix("a/"), WaitCondition::Changed));
        assert_eq!((wait.after, wait.timeout), (None, None));
        let said = request("Get", r#"{"key":"a","KEY":"b","k_ey":"c"}"#).unwrap();
        let RpcCall::Store {
            request: Request::Store(StoreRequest::Kv(KvRequest::Get(get))), ..
        } = said
        else {
            panic!("{said:?}")
        };
        assert_eq!(&*get.key, b"c", "the last counts");
        let node = JsonNode::read(r#"{"jobs":[{"topic":"t","payload":"p"}]}"#, 99).unwrap();
        let push: WireJobRequest<'_> = variant("Push", &node).unwrap();
        let Request::Job(JobRequest::Push { jobs, .. }) = Request::Job(push.into()) else {
            panic!("it is a push")
        };
        assert_eq!(jobs, [PushRequest::new("t", "p")]);
        assert_eq!(jobs[0].options.unique, Unique::Unfinished);
    }

    #[test]
    fn g6_an_argument_that_does_not_fit_is_told_where() {
        for (name, text, expected) in [
            ("Set", r#"{"vaule":"x"}"#, "unknown field `vaule`; the fields are key, value, lease"),
            ("Set", r#"{"key":5}"#, "key: expected a string or {\"base64\": ...}, not a number"),
            (
                "Set",
                r#"{"lease":-1}"#,
                "lease: expected a whole number from 0 to 2^64 - 1, not a number",
            ),
            (
                "Set",
                r#"{"lease":"+1"}"#,
                "lease: expected a whole number from 0 to 2^64 - 1, not a",
            ),
            ("Set", r#"{"lease":""}"#, "lease: expected a whole number from 0 to 2^64 - 1, not a"),
            (
                "Set",
                r#"{"lease":"18446744073709551616"}"#,
                "lease: expected a whole number from 0 to",
            ),
            ("Range", r#"{"range":{"key":"a"},"limit":"4294967296"}"#, "limit: invalid value"),
            ("Set", r#""a""#, "expected an object, not a string"),
            ("Range", "{}", "range: is required"),
            (
                "Range",
                r#"{"range":{"all":""}}"#,
                "range: unknown name `all`; the names are Key, Prefix",
            ),
            ("Range", r#"{"range":{"key":"a"},"limit":4294967296}"#, "limit: invalid value"),
            (
                "Txn",
                r#"{"success":[{"get":{"key":"a"}},{"delete":{"range":{"key":[]}}}]}"#,
                "success.1.range: expected a string or",
            ),
            ("Status", r#"{"a":1}"#, "expected {}, not an object"),
            (
                "Get",
                &format!(r#"{{"{}":1}}"#, "é".repeat(99)),
                &format!("unknown field `{}`", "é".repeat(64)),
            ),
        ] {
            let told = request(name, text).unwrap_err();
            assert!(told.starts_with(expected), "{name} {text}: {told}");
        }
    }
}
