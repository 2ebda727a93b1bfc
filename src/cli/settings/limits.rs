//! [`LimitSettings`]: the limits of a [`Config`], by their names in files and variables.

use super::file::Value;
use crate::Config;
use crate::nearest::hint;

/// The table of a file that holds the limits.
pub(super) const TABLE: &str = "limits";

/// The prefix of the variables of limits.
const PREFIX: &str = "WAKEFUL_LIMIT_";

pub(super) struct LimitSettings {
    names: Vec<&'static str>,
}

impl LimitSettings {
    pub(super) fn new() -> Self {
        Self { names: Config::new().entries().into_iter().map(|(name, _)| name).collect() }
    }

    pub(super) fn is_limit(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// Returns the limit with this path in a file.
    pub(super) fn named(&self, path: &[String]) -> Result<String, String> {
        let name = path.join(".").replace('-', "_");
        if self.is_limit(&name) {
            return Ok(name);
        }
        Err(self.unknown(&name))
    }

    /// Returns the message for an unknown name.
    fn unknown(&self, name: &str) -> String {
        let in_some_part = |known: &&&str| known.split_once('.').is_some_and(|(_, it)| it == name);
        let whole: Vec<_> = self.names.iter().filter(in_some_part).copied().collect();
        let hint = match whole[..] {
            [] => hint(name, self.names.iter().copied()),
            _ => format!("; did you mean `{}`?", whole.join("` or `")),
        };
        format!("no limit is named `{name}`{hint}")
    }

    /// Returns the limit that a variable sets; `None` if the variable is not about a limit.
    pub(super) fn of_variable(&self, variable: &str) -> Result<Option<String>, String> {
        if !variable.starts_with(PREFIX) {
            return Ok(None);
        }
        let found = self.names.iter().find(|name| Self::variable(name) == variable);
        let found = found.map(|name| Some((*name).to_owned()));
        found.ok_or_else(|| {
            let all: Vec<String> = self.names.iter().map(|name| Self::variable(name)).collect();
            let hint = hint(variable, all.iter().map(String::as_str));
            format!("{variable}: no such limit{hint}")
        })
    }

    /// Returns the variable of a limit.
    pub(super) fn variable(name: &str) -> String {
        format!("{PREFIX}{}", name.to_uppercase().replace('.', "_"))
    }

    /// Checks a value of a limit.
    pub(super) fn check(&self, name: &str, value: &str) -> Result<(), String> {
        Config::new().set(name, value)
    }
}

/// Checks that a limit of this name exists.
///
/// # Errors
///
/// If it does not: suggests similar names, and how to list all.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let limits = LimitSettings::new();
    if limits.is_limit(name) {
        return Ok(());
    }
    Err(format!("{}; `wakeful serve --limits` lists all", limits.unknown(name)))
}

/// Converts a value of a file to the form that [`Config::set`] reads.
pub(super) fn value(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) | Value::Number(text) => Ok(text.clone()),
        other => Err(format!("{name}: expected a number or a string, found {}", other.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_the_name_of_a_limit_is_told_the_name_that_was_meant() {
        assert_eq!(check_name("store.keys_max"), Ok(()));
        for (name, meant) in [
            ("store.key_max", "; did you mean `store.keys_max`?; "),
            ("keys_max", "; did you mean `store.keys_max`?; "),
            ("ping_timeout", "; did you mean `rpc.ping_timeout` or `link.ping_timeout`?; "),
            ("replication", "; "),
        ] {
            let expected =
                format!("no limit is named `{name}`{meant}`wakeful serve --limits` lists all");
            assert_eq!(check_name(name), Err(expected));
        }
    }

    #[test]
    fn every_limit_has_a_variable_of_its_own() {
        let limits = LimitSettings::new();
        for name in &limits.names {
            let variable = LimitSettings::variable(name);
            assert_eq!(limits.of_variable(&variable), Ok(Some((*name).to_owned())), "{variable}");
        }
        assert_eq!(limits.of_variable("WAKEFUL_LISTEN"), Ok(None));
        let refusal = limits.of_variable("WAKEFUL_LIMIT_STORE_KEY_MAX").unwrap_err();
        assert!(refusal.contains("WAKEFUL_LIMIT_STORE_KEYS_MAX"), "{refusal}");
    }
}
