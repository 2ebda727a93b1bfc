//! A TOML file as a list of [`FileSetting`]s, each with its line. Independent of options.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One key of a file with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSetting {
    /// The key, preceded by the names of its tables.
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    /// A whole number in decimal digits.
    Number(String),
    Flag(bool),
    List(Vec<Value>),
    /// A value that no option takes, by the name of its type.
    Other(&'static str),
}

/// An error in a file, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileError {
    pub(super) line: usize,
    pub(super) what: String,
}

impl Value {
    /// Returns the kind of value, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
        }
    }
}

/// Returns every key of `text`, in the order of lines.
pub(super) fn read(text: &str) -> Result<Vec<FileSetting>, FileError> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, &span));
        FileError { line, what: error.message().to_owned() }
    })?;
    let mut entries = Vec::new();
    gather(text, table.get_ref(), &[], &mut entries);
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// Collects the keys of a table. The parser limits the depth of tables.
fn gather(text: &str, table: &DeTable<'_>, within: &[String], entries: &mut Vec<FileSetting>) {
    for (key, value) in table {
        let mut path = within.to_vec();
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            // An empty table of limits is valid: a user may have removed every line in it.
            DeValue::Table(inner) if !inner.is_empty() || path == [super::limits::TABLE] => {
                gather(text, inner, &path, entries);
            }
            value => {
                let line = line_of(text, &key.span());
                entries.push(FileSetting { path, line, value: understand(value) });
            }
        }
    }
}

fn understand(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            match i128::from_str_radix(&digits, number.radix()) {
                Ok(number) => Value::Number(number.to_string()),
                Err(_) => Value::Other("a number that is too large"),
            }
        }
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Array(items) => {
            Value::List(items.iter().map(Spanned::get_ref).map(understand).collect())
        }
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a table"),
    }
}

/// Returns the line of a position, counted from 1.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match read(text) {
            Ok(entries) => entries
                .iter()
                .map(|entry| format!("{} {} {:?}\n", entry.line, entry.path.join("."), entry.value))
                .collect(),
            Err(fault) => format!("{}: {}\n", fault.line, fault.what),
        }
    }

    #[test]
    fn every_key_has_its_line_and_its_tables() {
        let text = "# said\nlog = \"debug\"\n\n[limits]\nstore.keys_max = 1_000\n\
            [limits.rpc]\nping_interval = \"5s\"\nhex = 0xff\n[x]\na = [true, 1.5]\nb = {}\n";
        assert_eq!(
            told(text),
            "2 log Text(\"debug\")\n\
             5 limits.store.keys_max Number(\"1000\")\n\
             7 limits.rpc.ping_interval Text(\"5s\")\n\
             8 limits.rpc.hex Number(\"255\")\n\
             10 x.a List([Flag(true), Other(\"a fraction\")])\n\
             11 x.b Other(\"a table\")\n"
        );
        assert_eq!(told(""), "");
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_line() {
        for (text, line) in [("a = 1\nb =\n", 2), ("a = 1\na = 2\n", 2), ("\n\n[x\n", 3)] {
            assert_eq!(read(text).unwrap_err().line, line, "{text:?}: {}", told(text));
        }
        let deep = "a = ".to_owned() + &"[".repeat(100_000);
        assert!(read(&deep).is_err(), "not a stack overflow");
    }
}
