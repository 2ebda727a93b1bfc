//! [`ServerOption`]: the options of `serve`, as clap defines them, each with its environment
//! variable.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::Source;
use super::file::Value;

/// The commands that take the server's options.
pub(super) const COMMANDS: [&str; 2] = ["serve", "config"];

/// The commands whose actions take some of the server's options.
pub(super) const PARTLY: [&str; 2] = ["user", "role"];

/// Excluded, because each limit has a variable of its own.
const LIMIT: &str = "limit";

/// Excluded, because it requests an action and configures nothing.
const LIMITS: &str = "limits";

/// Common options that also configure a server.
const OF_EVERY_COMMAND: [&str; 5] = ["tls", "tls-ca", "tls-server-name", "tls-cert", "tls-key"];

/// The option that names the file with the others.
pub(super) const CONFIG: &str = "config";

/// Gives every option of the server an environment variable, `WAKEFUL_` and its name, unless it
/// already has one.
pub(crate) fn with_environment(command: Command) -> Command {
    // A relay has no file, and names its variables itself.
    let command =
        command.mut_subcommand("relay", |relay| relay.mut_arg("log", |arg| arg.env("RUST_LOG")));
    COMMANDS.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| command.mut_args(give_variable))
    })
}

fn give_variable(arg: Arg) -> Arg {
    let Some(long) = arg.get_long().filter(|long| ![LIMIT, LIMITS].contains(long)) else {
        return arg;
    };
    if arg.get_env().is_some() {
        return arg;
    }
    let variable = format!("WAKEFUL_{}", long.to_uppercase().replace('-', "_"));
    arg.env(variable)
}

/// An option of the server.
pub(super) struct ServerOption {
    pub(super) id: String,
    /// The name without dashes.
    pub(super) long: String,
    pub(super) variable: Option<String>,
    /// True if the value must not be shown.
    pub(super) secret: bool,
    is_flag: bool,
    many: bool,
    text_only: bool,
    /// True if `true` and `false` are among its values.
    boolean: bool,
}

impl ServerOption {
    /// Returns the options of `serve`, except limits.
    pub(super) fn all(command: &Command) -> Vec<Self> {
        let serve = command.find_subcommand("serve");
        // Hidden arguments are those of a client.
        let own = serve.into_iter().flat_map(Command::get_arguments);
        let own = own.filter(|arg| !arg.is_hide_set());
        let shared = command
            .get_arguments()
            .filter(|arg| arg.get_long().is_some_and(|long| OF_EVERY_COMMAND.contains(&long)));
        own.chain(shared).filter_map(Self::new).collect()
    }

    fn new(arg: &Arg) -> Option<Self> {
        let long = arg.get_long().filter(|long| ![LIMIT, LIMITS, "help"].contains(long))?;
        let parser = arg.get_value_parser().type_id();
        let texts = [TypeId::of::<String>(), TypeId::of::<PathBuf>(), TypeId::of::<OsString>()];
        Some(Self {
            id: arg.get_id().to_string(),
            long: long.to_owned(),
            variable: arg.get_env().map(|name| name.to_string_lossy().into_owned()),
            secret: arg.is_hide_env_values_set() || is_secret(long),
            is_flag: matches!(arg.get_action(), ArgAction::SetTrue),
            many: matches!(arg.get_action(), ArgAction::Append),
            text_only: texts.iter().any(|text| parser == *text),
            boolean: arg.get_possible_values().iter().any(|value| value.matches("true", false)),
        })
    }

    /// Converts a value of a file to arguments.
    pub(super) fn arguments(&self, value: &Value) -> Result<Vec<OsString>, String> {
        let refuse = |wanted: &str| {
            Err(format!("`{}`: expected {wanted}, found {}", self.long, value.kind()))
        };
        let argument = |value: &str| OsString::from(format!("--{}={value}", self.long));
        match value {
            Value::Flag(true) if self.is_flag => Ok(vec![format!("--{}", self.long).into()]),
            Value::Flag(false) if self.is_flag => Ok(Vec::new()),
            _ if self.is_flag => refuse("true or false"),
            Value::List(items) if self.many => {
                let all: Result<Vec<_>, _> =
                    items.iter().map(|item| self.arguments(item)).collect();
                all.map(|all| all.into_iter().flatten().collect())
            }
            Value::Text(text) => Ok(vec![argument(text)]),
            Value::Number(number) if !self.text_only => Ok(vec![argument(number)]),
            Value::Flag(flag) if self.boolean => Ok(vec![argument(&flag.to_string())]),
            _ if self.many => refuse("a list of strings"),
            _ if self.text_only => refuse("a string"),
            _ => refuse("a string or a number"),
        }
    }

    /// Returns the source of the value in a parsed command line, if the value was given there.
    pub(super) fn source(&self, matches: &clap::ArgMatches) -> Option<Source> {
        match matches.value_source(&self.id)? {
            clap::parser::ValueSource::CommandLine => Some(Source::Flag),
            clap::parser::ValueSource::EnvVariable => {
                self.variable.clone().map(Source::Environment)
            }
            _ => None,
        }
    }

    /// Returns the values as given.
    pub(super) fn values(&self, matches: &clap::ArgMatches) -> Vec<String> {
        if self.is_flag {
            return vec![matches.get_flag(&self.id).to_string()];
        }
        let raw = matches.get_raw(&self.id).into_iter().flatten();
        raw.map(|value| value.to_string_lossy().into_owned()).collect()
    }

    pub(super) fn is_flag(&self) -> bool {
        self.is_flag
    }

    pub(super) fn is_list(&self) -> bool {
        self.many
    }
}

/// Returns true if the name suggests a secret, in case an option's value was not marked as hidden.
fn is_secret(long: &str) -> bool {
    let names_one = ["password", "secret", "token"].iter().any(|word| long.contains(word));
    names_one && !long.ends_with("file") && !long.ends_with("dir")
}
