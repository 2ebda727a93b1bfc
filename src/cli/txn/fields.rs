//! [`FormFields`]: one object of the form, read member by member, so that a misspelt member is an error
//! with its place and the known members.

use serde_json::{Map, Value};

use crate::cli::json::from_base64;
use crate::{Blob, KeyRange};

pub(super) struct FormFields {
    /// The place in the form, as in `success[0].set`.
    place: String,
    members: Map<String, Value>,
    /// Members read so far: the valid ones.
    known: Vec<String>,
}

impl FormFields {
    pub(super) fn new(place: impl Into<String>, value: Value) -> Result<Self, String> {
        let place = place.into();
        match value {
            Value::Object(members) => Ok(Self { place, members, known: Vec::new() }),
            _ => Err(format!("{place}: must be an object")),
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Returns an error with the place.
    pub(super) fn refuse<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{}: {what}", self.place))
    }

    /// Removes and returns the member, if present; null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.known.push(name.into());
        self.members.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => self.refuse(&format!("`{name}` must be a string")),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        match self.take(name) {
            None => Ok(None),
            // Also accepts a string of digits, the form of ids in the output of `--json`.
            Some(value) => match value.as_u64().or_else(|| digits(&value)) {
                Some(number) => Ok(Some(number)),
                None => self.refuse(&format!("`{name}` must be a whole number, 0 or more")),
            },
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => self.refuse(&format!("`{name}` must be true or false")),
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Vec<Value>, String> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => self.refuse(&format!("`{name}` must be a list")),
        }
    }

    /// Reads bytes: `name` as a string or as `{"base64": ...}`, or `name_base64`.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Option<Blob>, String> {
        if let Some(Value::Object(object)) = self.members.get_mut(name) {
            match (object.remove("base64"), object.is_empty()) {
                (Some(Value::String(text)), true) => {
                    self.members.remove(name);
                    self.members.insert(format!("{name}_base64"), Value::String(text));
                }
                _ => {
                    return self
                        .refuse(&format!("`{name}` must be a string or {{\"base64\": ...}}"));
                }
            }
        }
        let text = self.text(name)?;
        let name_base64 = format!("{name}_base64");
        match (text, self.text(&name_base64)?) {
            (Some(_), Some(_)) => {
                self.refuse(&format!("give either `{name}` or `{name_base64}`, not both"))
            }
            (Some(text), None) => Ok(Some(Blob::from(text))),
            (None, Some(text)) => match from_base64(&text) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) => self.refuse(&format!("`{name_base64}` is not base64: {error}")),
            },
            (None, None) => Ok(None),
        }
    }

    pub(super) fn bytes_required(&mut self, name: &str) -> Result<Blob, String> {
        match self.bytes(name)? {
            Some(bytes) => Ok(bytes),
            None => self.refuse(&format!("`{name}` is missing")),
        }
    }

    /// Reads a range of keys: `key`, `prefix`, `from` with or without `to`, or `all`.
    pub(super) fn range(&mut self) -> Result<KeyRange, String> {
        let key = self.bytes("key")?.map(KeyRange::Key);
        let prefix = self.bytes("prefix")?.map(KeyRange::Prefix);
        let from = self.bytes("from")?;
        let to = self.bytes("to")?;
        if from.is_none() && to.is_some() {
            return self.refuse("`to` needs `from`");
        }
        let between = from.map(|from| KeyRange::Range { from, to: to.unwrap_or_default() });
        let all = self.flag("all")?.unwrap_or(false).then(KeyRange::all);
        let mut given = [key, prefix, between, all].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(range), None) => Ok(range),
            _ => self.refuse("which keys? give one of `key`, `prefix`, `from` (and `to`), `all`"),
        }
    }

    /// Refuses members that were not read.
    pub(super) fn end(self) -> Result<(), String> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(unknown) => {
                let known: Vec<_> =
                    self.known.iter().filter(|name| !name.ends_with("_base64")).cloned().collect();
                self.refuse(&format!(
                    "unknown member `{unknown}`; the members are {}",
                    known.join(", ")
                ))
            }
        }
    }
}

/// Returns the number that a string of decimal digits represents.
fn digits(value: &Value) -> Option<u64> {
    let text = value.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}
