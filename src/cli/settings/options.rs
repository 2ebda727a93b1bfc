//! [`Options`]: what `serve` can be told, as clap knows it; and each as an environment variable.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::Source;
use super::file::Value;

/// The commands that take the server's options.
pub(super) const COMMANDS: [&str; 2] = ["serve", "config"];

/// The commands whose actions take a part of the server's options.
pub(super) const PARTLY: [&str; 2] = ["user", "role"];

/// Set by names of their own: each limit has its variable.
const LIMIT: &str = "limit";

/// Asks for something to be done, once; says nothing of a server.
const LIMITS: &str = "limits";

/// Options of every command that say something of a server, too.
const OF_EVERY_COMMAND: [&str; 5] = ["tls", "tls-ca", "tls-server-name", "tls-cert", "tls-key"];

/// Says where the others are.
pub(super) const CONFIG: &str = "config";

/// Gives every option of the server an environment variable, `WAKEFUL_` and its name, unless it
/// names one itself.
pub(crate) fn with_environment(command: Command) -> Command {
    // A relay has no file, and says itself which variables it looks at.
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
    /// Without its dashes.
    pub(super) long: String,
    pub(super) variable: Option<String>,
    /// Its value is for nobody to see.
    pub(super) secret: bool,
    is_flag: bool,
    many: bool,
    text_only: bool,
    /// `true` and `false` are values of it.
    boolean: bool,
}

impl ServerOption {
    /// What `serve` has, limits excepted.
    pub(super) fn all(command: &Command) -> Vec<Self> {
        let serve = command.find_subcommand("serve");
        let own = serve.into_iter().flat_map(Command::get_arguments);
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

    /// A value of a file as arguments.
    pub(super) fn arguments(&self, value: &Value) -> Result<Vec<OsString>, String> {
        let refuse = |wanted: &str| {
            Err(format!("`{}` is {wanted}, and this is {}", self.long, value.kind()))
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
            _ if self.many => refuse("a list of texts"),
            _ if self.text_only => refuse("a text"),
            _ => refuse("a text or a number"),
        }
    }

    /// Where a parsed command line has its value from, if that was given there.
    pub(super) fn source(&self, matches: &clap::ArgMatches) -> Option<Source> {
        match matches.value_source(&self.id)? {
            clap::parser::ValueSource::CommandLine => Some(Source::Flag),
            clap::parser::ValueSource::EnvVariable => {
                self.variable.clone().map(Source::Environment)
            }
            _ => None,
        }
    }

    /// Its values as they were given.
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

/// Whether the name says so, for the day somebody forgets to hide its value.
fn is_secret(long: &str) -> bool {
    let names_one = ["password", "secret", "token"].iter().any(|word| long.contains(word));
    names_one && !long.ends_with("file") && !long.ends_with("dir")
}
