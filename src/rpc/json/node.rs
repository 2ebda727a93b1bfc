//! [`JsonNode`]: a JSON value in memory, of bounded size.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::envelope::JsonText;
use super::reading::same;

/// Maximum memory of a value, bytes, without its text and name.
pub(crate) const NODE_BYTES: usize = 64;

const _: () = assert!(size_of::<(Cow<'static, str>, JsonNode<'static>)>() <= NODE_BYTES);

/// A JSON value. An object with only the member `base64` is the decoded bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JsonNode<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// A number that the protocol does not use.
    Number(f64),
    Text(Cow<'a, str>),
    Bytes(Vec<u8>),
    List(Vec<JsonNode<'a>>),
    Object(Vec<(Cow<'a, str>, JsonNode<'a>)>),
}

impl<'a> JsonNode<'a> {
    /// Parses `text`, which may hold up to `nodes_max` values.
    ///
    /// # Errors
    ///
    /// If there are more, or it is not JSON.
    pub(crate) fn read(text: &'a str, nodes_max: usize) -> Result<Self, serde_json::Error> {
        let left = Cell::new(nodes_max);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let node = Seed { left: &left, life: PhantomData }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(node)
    }

    /// Returns the kind of the value, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Removes a member from an object, by its case-insensitive name: the last, if there are
    /// several. The others keep their order, because the last of each name counts.
    pub(crate) fn take(&mut self, name: &str) -> Option<Self> {
        let Self::Object(members) = self else { return None };
        let mut taken = None;
        members.retain_mut(|(member, value)| {
            let other = !same(name, member);
            if !other {
                taken = Some(std::mem::replace(value, Self::Null));
            }
            other
        });
        taken
    }
}

impl JsonNode<'_> {
    /// Adds a member to an object; null counts as an empty one.
    pub(crate) fn put(&mut self, name: &'static str, value: Self) {
        if *self == Self::Null {
            *self = Self::Object(Vec::new());
        }
        if let Self::Object(members) = self {
            members.push((Cow::Borrowed(name), value));
        }
    }
}

struct Seed<'l, 'a> {
    left: &'l Cell<usize>,
    life: PhantomData<&'a ()>,
}

impl Seed<'_, '_> {
    fn again(&self) -> Self {
        Self { left: self.left, life: PhantomData }
    }
}

impl<'de: 'a, 'a> DeserializeSeed<'de> for Seed<'_, 'a> {
    type Value = JsonNode<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<JsonNode<'a>, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            let message = "too many values: the request takes more memory than rpc.frame_bytes_max";
            return Err(D::Error::custom(message));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Seed<'_, 'a> {
    type Value = JsonNode<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<JsonNode<'a>, E> {
        Ok(JsonNode::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<JsonNode<'a>, E> {
        Ok(JsonNode::Bool(bool))
    }

    fn visit_u64<E>(self, number: u64) -> Result<JsonNode<'a>, E> {
        Ok(JsonNode::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<JsonNode<'a>, E> {
        Ok(u64::try_from(number).map_or(JsonNode::Number(number as f64), JsonNode::Unsigned))
    }

    fn visit_f64<E>(self, number: f64) -> Result<JsonNode<'a>, E> {
        Ok(JsonNode::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<JsonNode<'a>, E> {
        Ok(JsonNode::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<JsonNode<'a>, E> {
        Ok(JsonNode::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut values: S) -> Result<JsonNode<'a>, S::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element_seed(self.again())? {
            list.push(value);
        }
        Ok(JsonNode::List(list))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<JsonNode<'a>, M::Error> {
        let mut object = Vec::new();
        while let Some(JsonText(name)) = members.next_key()? {
            object.push((name, members.next_value_seed(self.again())?));
        }
        match &*object {
            [(name, JsonNode::Text(text))] if name == "base64" => {
                let bytes = BASE64_STANDARD.decode(&**text).map_err(M::Error::custom)?;
                Ok(JsonNode::Bytes(bytes))
            }
            _ => Ok(JsonNode::Object(object)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g6_bytes_are_text_or_base64() {
        let node = JsonNode::read(r#"{"a":"x","b":{"base64":"/v0="}}"#, 9).unwrap();
        let JsonNode::Object(members) = node else { panic!("{node:?}") };
        assert_eq!(members[0].1, JsonNode::Text("x".into()));
        assert_eq!(members[1].1, JsonNode::Bytes(vec![0xfe, 0xfd]));
        assert!(JsonNode::read(r#"{"base64":"/v0"}"#, 9).is_err());
    }

    #[test]
    fn g6_of_a_member_that_comes_twice_the_last_counts_whatever_is_beside_it() {
        let text = r#"{"once":1,"value":"1","Once":2,"k":0,"value":"2"}"#;
        let mut node = JsonNode::read(text, 9).unwrap();
        assert_eq!(node.take("once"), Some(JsonNode::Unsigned(2)));
        assert_eq!(node.take("once"), None);
        let JsonNode::Object(members) = node else { panic!("{node:?}") };
        let names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["value", "k", "value"]);
        assert_eq!(members[2].1, JsonNode::Text("2".into()));
    }

    #[test]
    fn s10_a_value_takes_so_much_memory_and_no_more() {
        assert!(JsonNode::read("[0,0,0]", 4).is_ok());
        let refused = JsonNode::read("[0,0,0]", 3).unwrap_err().to_string();
        assert!(refused.contains("rpc.frame_bytes_max"), "{refused}");
    }
}
