//! [`Report`]: results by name, printed for people or for programs.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// Results by name, in the order they were added. Names end in their unit.
#[derive(Debug, Clone)]
pub(super) struct Report(Vec<(&'static str, Value)>);

impl Report {
    /// Returns the empty results of a mode.
    pub(super) fn new(mode: &str) -> Self {
        Self(vec![("mode", mode.into())])
    }

    /// Adds a text.
    pub(super) fn text(self, name: &'static str, text: &str) -> Self {
        self.with(name, text.into())
    }

    /// Adds a yes or no.
    pub(super) fn flag(self, name: &'static str, flag: bool) -> Self {
        self.with(name, flag.into())
    }

    /// Adds a number.
    pub(super) fn number(self, name: &'static str, number: u64) -> Self {
        self.with(name, number.into())
    }

    /// Adds a rate, to the nearest whole number.
    pub(super) fn rate(self, name: &'static str, rate: f64) -> Self {
        self.number(name, rate.round() as u64)
    }

    /// Adds a time in microseconds.
    pub(super) fn micros(self, name: &'static str, time: Duration) -> Self {
        self.with(name, thousandths(time.as_nanos() as f64 / 1e3).into())
    }

    /// Adds a time in milliseconds.
    pub(super) fn millis(self, name: &'static str, time: Duration) -> Self {
        self.with(name, thousandths(time.as_nanos() as f64 / 1e6).into())
    }

    /// Adds a time in seconds.
    pub(super) fn seconds(self, name: &'static str, time: Duration) -> Self {
        self.with(name, thousandths(time.as_secs_f64()).into())
    }

    /// Returns the results as one JSON object, on one line.
    pub(super) fn json(&self) -> String {
        let object: Map<_, _> =
            self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Value::Object(object).to_string()
    }

    fn with(mut self, name: &'static str, value: Value) -> Self {
        self.0.push((name, value));
        self
    }
}

fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// Prints one line for each result.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.0.iter().enumerate() {
            let newline = if place == 0 { "" } else { "\n" };
            match value {
                Value::String(text) => write!(f, "{newline}{name:16} {text}")?,
                value => write!(f, "{newline}{name:16} {value}")?,
            }
        }
        Ok(())
    }
}
