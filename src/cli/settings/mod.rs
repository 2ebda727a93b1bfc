//! The sources of a server's options: the command line, else the environment, else a file, else the
//! default. [`resolve`] turns the values of the environment and the file into arguments, so that
//! clap's rules apply to a value from any source, and a new option needs no code here.

mod file;
mod limits;
mod options;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgMatches, Command};

use self::file::{FileError, FileSetting};
use self::limits::LimitSettings;
pub(crate) use self::limits::check_name as check_limit_name;
pub(crate) use self::options::with_environment;
use self::options::{COMMANDS, CONFIG, PARTLY, ServerOption};
pub(crate) use self::report::SettingsReport;
use super::failure::Failure;
use crate::nearest::hint;

/// Maximum file size, bytes: ten times the size of a file with every option and a page of comment
/// on each.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Variables that set an option whose own variable has another name, without being a value of it.
const OTHER_VARIABLES: [(&str, &str); 1] = [("log", "RUST_LOG")];

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Default,
    File { file: PathBuf, line: usize },
    Environment(String),
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "file {}:{line}", file.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// A command line completed by the environment and the file.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) arguments: Vec<OsString>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// The sources of options, by name; an option without an entry has its default.
    options: BTreeMap<String, Source>,
    limits: BTreeMap<String, Source>,
}

/// Adds the settings of the environment and the file to the arguments of a server, or of a command
/// that takes some of its options, unless the arguments set them. Arguments of other commands, and
/// requests for help, stay as they are.
///
/// # Errors
///
/// If the file or the environment is invalid: what is wrong, and where. Clap checks the resulting
/// arguments.
pub(crate) fn resolve(command: &Command, given: &[OsString]) -> Result<Resolved, Failure> {
    let as_given = Resolved { arguments: given.to_vec(), ..Resolved::default() };
    // Collects the given arguments, valid or not.
    let lenient = command.clone().ignore_errors(true);
    let Ok(matches) = lenient.try_get_matches_from(given) else { return Ok(as_given) };
    match matches.subcommand() {
        Some((name, matches)) if COMMANDS.contains(&name) => {
            Resolver::new(command, None, matches, as_given).resolve(matches)
        }
        Some((name, matches)) if PARTLY.contains(&name) => {
            let Some((action, matches)) = matches.subcommand() else { return Ok(as_given) };
            let action = command.find_subcommand(name).and_then(|it| it.find_subcommand(action));
            // The `help` subcommand has no options.
            let Some(action) = action else { return Ok(as_given) };
            Resolver::new(command, Some(action), matches, as_given).resolve(matches)
        }
        _ => Ok(as_given),
    }
}

struct Resolver<'a> {
    command: &'a Command,
    options: Vec<ServerOption>,
    /// The names of the options that apply; `None` for all.
    taken: Option<BTreeSet<&'a str>>,
    limits: LimitSettings,
    resolved: Resolved,
    added: Vec<OsString>,
}

impl<'a> Resolver<'a> {
    /// Limits the options to those that `action` has; `None` keeps all.
    fn new(
        command: &'a Command,
        action: Option<&'a Command>,
        matches: &ArgMatches,
        mut resolved: Resolved,
    ) -> Self {
        let options = ServerOption::all(command);
        let longs = |action: &'a Command| action.get_arguments().filter_map(|arg| arg.get_long());
        let taken = action.map(|action| longs(action).collect::<BTreeSet<_>>());
        let is_taken = |option: &&ServerOption| {
            taken.as_ref().is_none_or(|taken| taken.contains(&*option.long))
        };
        for option in options.iter().filter(is_taken) {
            if let Some(source) = option.source(matches) {
                resolved.options.insert(option.long.clone(), source);
            }
        }
        let limits = LimitSettings::new();
        for limit in matches.get_many::<String>("limit").into_iter().flatten() {
            if let Some((name, _)) = limit.split_once('=') {
                resolved.limits.insert(name.to_owned(), Source::Flag);
            }
        }
        Self { command, options, taken, limits, resolved, added: Vec::new() }
    }

    fn resolve(mut self, matches: &ArgMatches) -> Result<Resolved, Failure> {
        self.add_environment()?;
        if let Some(file) = matches.get_one::<PathBuf>(CONFIG) {
            let text = read(file)?;
            let at = |fault: FileError| {
                Failure::usage(format!("{}:{}: {}", file.display(), fault.line, fault.what))
            };
            self.add_file(file, &text).map_err(at)?;
            self.resolved.file = Some(file.clone());
        }
        let arguments = &mut self.resolved.arguments;
        let end = arguments.iter().position(|argument| argument == "--");
        let end = end.unwrap_or(arguments.len());
        arguments.splice(end..end, self.added);
        Ok(self.resolved)
    }

    fn add_environment(&mut self) -> Result<(), Failure> {
        for (long, variable) in OTHER_VARIABLES {
            if let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
                let mut argument = OsString::from(format!("--{long}="));
                argument.push(value);
                self.add(long, Source::Environment(variable.to_owned()), [argument]);
            }
        }
        for (variable, value) in std::env::vars_os() {
            let Some(variable) = variable.to_str() else { continue };
            if let Some(limit) = self.limits.of_variable(variable).map_err(Failure::usage)? {
                let value = value.to_string_lossy();
                let told = |what| Failure::usage(format!("{variable}: {what}"));
                self.limits.check(&limit, &value).map_err(told)?;
                self.add_limit(limit, &value, Source::Environment(variable.to_owned()));
            }
        }
        Ok(())
    }

    fn add_file(&mut self, file: &Path, text: &str) -> Result<(), FileError> {
        let mut seen = BTreeMap::new();
        for entry in file::read(text)? {
            let line = entry.line;
            let at = |what| FileError { line, what };
            let source = Source::File { file: file.to_owned(), line };
            let name = match entry.path.split_first() {
                Some((first, rest)) if first == limits::TABLE => {
                    let name = self.limits.named(rest).map_err(at)?;
                    let value = limits::value(&name, &entry.value).map_err(at)?;
                    self.limits.check(&name, &value).map_err(at)?;
                    self.add_limit(name.clone(), &value, source);
                    name
                }
                _ => self.add_option(&entry, source).map_err(at)?,
            };
            if let Some(before) = seen.insert(name.clone(), line) {
                return Err(at(format!("`{name}` is already set in line {before}")));
            }
        }
        Ok(())
    }

    /// Adds an option, and returns its name.
    fn add_option(&mut self, entry: &FileSetting, source: Source) -> Result<String, String> {
        let name = entry.path.join("-").replace('_', "-");
        if name == CONFIG {
            return Err("a file cannot include another; use --config".to_owned());
        }
        let Some(option) = self.options.iter().find(|option| option.long == name) else {
            return Err(self.unknown(entry, &name));
        };
        let arguments = option.arguments(&entry.value)?;
        self.check(option, &arguments)?;
        self.add(&name, source, arguments);
        Ok(name)
    }

    fn unknown(&self, entry: &FileSetting, name: &str) -> String {
        let dotted = entry.path.join(".");
        if self.limits.is_limit(&dotted) {
            return format!("`{dotted}` is a limit: write it below a line `[{}]`", limits::TABLE);
        }
        let known = self.options.iter().map(|option| &*option.long).filter(|it| *it != CONFIG);
        format!("`serve` has no option `{dotted}`{}", hint(name, known))
    }

    /// Checks that clap accepts the value.
    fn check(&self, option: &ServerOption, arguments: &[OsString]) -> Result<(), String> {
        let line = ["wakeful".into(), "serve".into()].into_iter().chain(arguments.to_vec());
        match self.command.clone().try_get_matches_from(line) {
            // Dependencies and conflicts are checked once all options are known.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8
                ) =>
            {
                Err(if option.secret {
                    format!("the value of `{}` is not valid", option.long)
                } else {
                    first_paragraph(&error)
                })
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, long: &str, source: Source, arguments: impl IntoIterator<Item = OsString>) {
        if !self.resolved.options.contains_key(long) {
            self.resolved.options.insert(long.to_owned(), source);
            if self.taken.as_ref().is_none_or(|taken| taken.contains(long)) {
                self.added.extend(arguments);
            }
        }
    }

    fn add_limit(&mut self, name: String, value: &str, source: Source) {
        if !self.resolved.limits.contains_key(&name) {
            self.added.push(format!("--limit={name}={value}").into());
            self.resolved.limits.insert(name, source);
        }
    }
}

/// Returns clap's message on one line.
pub(crate) fn first_paragraph(error: &clap::Error) -> String {
    // The first paragraph has the error, the following ones the usage.
    let text = error.render().to_string();
    let what = text.split("\n\n").next().unwrap_or(&text).trim_start_matches("error: ");
    what.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn read(file: &Path) -> Result<String, Failure> {
    let refuse = |what: &dyn fmt::Display| Failure::usage(format!("{}: {what}", file.display()));
    let mut text = String::new();
    let read = File::open(file)
        .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > FILE_BYTES_MAX => {
            Err(refuse(&format_args!("longer than {FILE_BYTES_MAX} bytes")))
        }
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(refuse(&"is not UTF-8")),
        Err(error) => Err(refuse(&error)),
    }
}
