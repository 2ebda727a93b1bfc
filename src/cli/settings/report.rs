//! [`SettingsReport`]: the effective settings of a server, and the source of each.

use std::borrow::Cow;
use std::path::Path;

use clap::{ArgMatches, Command};
use serde::Serialize;
use serde_json::{Value, json};

use super::options::{CONFIG, ServerOption};
use super::{Resolved, Source};
use crate::Config;
use crate::cli::output::Output;

/// The settings of a server.
#[derive(Debug, Default)]
pub(crate) struct SettingsReport {
    lines: Vec<ReportLine>,
    limits: std::collections::BTreeMap<String, Source>,
}

#[derive(Debug)]
struct ReportLine {
    name: String,
    values: Vec<String>,
    form: Form,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    List,
    Flag,
    /// The file itself, which no file can set.
    File,
    Secret,
}

impl SettingsReport {
    /// Collects the server's options in `matches`, which were parsed from `resolved`.
    pub(crate) fn new(command: &Command, matches: &ArgMatches, resolved: Resolved) -> Self {
        let Resolved { options, limits, .. } = resolved;
        let line = |option: ServerOption| ReportLine {
            values: option.values(matches),
            form: match () {
                () if option.secret => Form::Secret,
                () if option.long == CONFIG => Form::File,
                () if option.is_flag() => Form::Flag,
                () if option.is_list() => Form::List,
                () => Form::Text,
            },
            source: options.get(&option.long).cloned().unwrap_or(Source::Default),
            name: option.long,
        };
        Self { lines: ServerOption::all(command).into_iter().map(line).collect(), limits }
    }

    /// Sets an option that has no value yet.
    pub(crate) fn fill(&mut self, name: &str, value: &str, source: Source) {
        let unset = |line: &&mut ReportLine| line.name == name && line.values.is_empty();
        if let Some(line) = self.lines.iter_mut().find(unset) {
            (line.values, line.source) = (vec![value.to_owned()], source);
        }
    }

    /// Returns the source of an option's value.
    pub(crate) fn source(&self, name: &str) -> Source {
        let line = self.lines.iter().find(|line| line.name == name);
        line.map_or(Source::Default, |line| line.source.clone())
    }

    /// Returns the options that have another value in `other`.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let both = self.lines.iter().zip(&other.lines);
        both.filter(|(one, other)| one.values != other.values).map(|(line, _)| &*line.name)
    }

    /// Records the source of a limit that follows from an option, unless the limit is set.
    pub(crate) fn derive(&mut self, limit: &str, source: Source) {
        self.limits.entry(limit.to_owned()).or_insert(source);
    }

    /// Prints the settings; the text for people is itself a valid file.
    pub(crate) fn print(&self, config: &Config, out: &mut Output) {
        if out.json() {
            self.lines.iter().for_each(|line| out.object(&line.object()));
        } else {
            self.lines.iter().for_each(|line| out.line(line.toml()));
            out.line("\n[limits]");
        }
        for (name, value) in config.entries() {
            let source = self.limits.get(name).unwrap_or(&Source::Default);
            if out.json() {
                let named = NamedSetting::Limit { limit: name, value: &value };
                out.object(&SettingJson { named, origin: source.into() });
            } else {
                let bare = value.bytes().all(|byte| byte.is_ascii_digit());
                let value = if bare { value } else { quoted(&value) };
                out.line(format_args!("{name} = {value}  # {source}"));
            }
        }
    }
}

impl ReportLine {
    fn toml(&self) -> String {
        let Self { name, values, form, source } = self;
        let texts: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        match (form, values.first()) {
            (_, None) => format!("# {name} is not set"),
            (Form::Secret, Some(_)) => format!("# {name} is set, and not shown; {source}"),
            (Form::File, Some(file)) => format!("# read: {file:?}; {source}"),
            (Form::Flag, Some(value)) => format!("{name} = {value}  # {source}"),
            (Form::List, Some(_)) => format!("{name} = [{}]  # {source}", texts.join(", ")),
            (Form::Text, Some(_)) => format!("{name} = {}  # {source}", texts.join(" ")),
        }
    }

    fn object(&self) -> SettingJson<'_> {
        let name = &*self.name;
        let value = |value| NamedSetting::Option { name, value };
        let named = match (self.form, self.values.first()) {
            (_, None) => value(Value::Null),
            (Form::Secret, Some(_)) => NamedSetting::Secret { name, secret: true },
            (Form::Flag, Some(flag)) => value(json!(flag == "true")),
            (Form::List, Some(_)) => value(json!(self.values)),
            (Form::Text | Form::File, Some(text)) => value(json!(text)),
        };
        SettingJson { named, origin: (&self.source).into() }
    }
}

/// A setting in JSON.
#[derive(Serialize)]
struct SettingJson<'a> {
    #[serde(flatten)]
    named: NamedSetting<'a>,
    #[serde(flatten)]
    origin: SettingOrigin<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum NamedSetting<'a> {
    Option { name: &'a str, value: Value },
    Secret { name: &'a str, secret: bool },
    Limit { limit: &'a str, value: &'a str },
}

/// A [`Source`] in JSON.
#[derive(Serialize)]
#[serde(tag = "origin", rename_all = "lowercase")]
enum SettingOrigin<'a> {
    Default,
    Flag,
    Environment { variable: &'a str },
    File { file: Cow<'a, str>, line: usize },
}

impl<'a> From<&'a Source> for SettingOrigin<'a> {
    fn from(source: &'a Source) -> Self {
        match source {
            Source::Default => Self::Default,
            Source::Flag => Self::Flag,
            Source::Environment(variable) => Self::Environment { variable },
            Source::File { file, line } => {
                Self::File { file: Path::new(file).to_string_lossy(), line: *line }
            }
        }
    }
}

/// Quotes a text as a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::file::{Value, read};

    /// Returns the output of `wakeful config` for a server with these options.
    fn printed(arguments: &[&str], json: bool) -> String {
        let arg = |long: &'static str| clap::Arg::new(long).long(long);
        let server = |name: &'static str| {
            Command::new(name)
                .arg(arg("limit").action(clap::ArgAction::Append))
                .arg(arg("config"))
                .arg(arg("upstream").hide_env_values(true))
                .arg(arg("dial-token"))
                .arg(arg("token-file"))
                .arg(arg("strict").action(clap::ArgAction::SetTrue))
                .arg(arg("allow").action(clap::ArgAction::Append))
        };
        let command = Command::new("wakeful").subcommands(["serve", "config"].map(server));
        let given = [&["wakeful", "config"], arguments].concat();
        let matches = command.clone().try_get_matches_from(given).unwrap();
        let report = SettingsReport::new(
            &command,
            matches.subcommand().unwrap().1,
            Resolved { arguments: Vec::new(), ..Resolved::default() },
        );
        let mut out = Output::memory(json);
        report.print(&Config::new(), &mut out);
        out.printed()
    }

    #[test]
    fn a_secret_is_never_printed() {
        let arguments = ["--upstream", "hidden-1", "--dial-token=hidden-2", "--token-file=shown"];
        for json in [false, true] {
            let printed = printed(&arguments, json);
            assert!(!printed.contains("hidden") && printed.contains("shown"), "{printed}");
        }
        assert!(printed(&arguments, false).contains("# upstream is set, and not shown"));
    }

    #[test]
    fn flags_and_lists_are_printed_as_such() {
        let printed = printed(&["--strict", "--allow=a", "--allow=b"], false);
        assert!(printed.contains("strict = true  #"), "{printed}");
        assert!(printed.contains("allow = [\"a\", \"b\"]  #"), "{printed}");
        assert!(printed.contains("# token-file is not set"), "{printed}");
    }

    #[test]
    fn what_is_quoted_reads_back() {
        for text in ["", "a", "c:\\d", "say \"no\"", "two\nlines\u{1b}[31m\u{9b}", "Grüße"] {
            let entries = read(&format!("a = {}", quoted(text))).unwrap();
            assert_eq!(entries[0].value, Value::Text(text.to_owned()), "{text:?}");
        }
    }
}
