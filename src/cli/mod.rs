//! The command line: one file per command, each of which is a struct of arguments with a `run`.
//!
//! Commands that talk to a server are written against [`Operations`](crate::Operations); only this
//! module knows that it is a [`Client`].

mod argument;
mod backup;
mod bench;
mod call;
mod compact;
mod completions;
mod config;
mod del;
mod del_slices;
mod descriptors;
mod durability_args;
mod failure;
mod get;
mod help;
mod input;
mod job;
mod journal;
mod json;
mod lease;
mod login;
mod output;
mod part_file;
#[cfg(any(test, feature = "internals"))]
pub mod program;
mod progress;
mod range;
mod relay;
mod restore;
mod role;
mod secret;
mod serve;
mod server_limits;
mod services;
mod set;
mod settings;
mod signal;
mod status;
mod stderr;
mod table;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod topics;
mod torture;
mod txn;
mod user;
mod wait;
mod watch;
mod watchers;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::auth::Credentials;
use crate::config::ClientConfig;
use crate::{Client, Error, ErrorCode};
use argument::parse_duration;
use failure::{EXIT_CODES, Exit, Failure};
use output::{Output, notice};
use settings::SettingsReport;
use signal::{EndCauses, Signals};

/// Default address of a server.
const DEFAULT_ADDR: &str = "127.0.0.1:7117";

/// The examples in the help of `wakeful`.
const EXAMPLES: &str = "\
Examples:
  wakeful serve                            in one shell
  wakeful watch greeting                   in another
  wakeful set greeting hello               in a third";

/// A key-value store whose changes can be awaited, and a job queue
#[derive(Debug, Parser)]
#[command(name = "wakeful", version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = format!("{EXAMPLES}\n\n`wakeful COMMAND -h` has examples of each command."))]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command. Those of a client are in the long help only; [`help`] hides them where
/// they have no use.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
struct Common {
    /// The server's address
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "HOST:PORT",
        env = "WAKEFUL_ADDR",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        default_value = DEFAULT_ADDR
    )]
    addr: String,
    /// The name of the server to reach: a relay selects the server by it, and a server with another
    /// name refuses
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "NAME",
        env = "WAKEFUL_SERVER",
        default_value = "",
        hide_default_value = true
    )]
    server: String,
    /// Print JSON, one object per line; errors too
    #[arg(long, global = true)]
    json: bool,
    /// Maximum time for a call, connecting included; waits and watches have their own
    #[arg(long, global = true, hide_short_help = true, value_name = "DURATION", default_value = "10s",
        value_parser = parse_duration)]
    deadline: Duration,
    #[command(flatten)]
    login: login::LoginArgs,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: tls::TlsArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(about = "Run a server", long_about = serve::ABOUT, after_help = serve::EXAMPLES)]
    Serve(serve::ServeArgs),
    Relay(relay::RelayArgs),
    #[command(about = "Print the effective configuration and the source of each value",
        long_about = config::ABOUT, after_help = config::EXAMPLES)]
    Config(serve::ServeArgs),
    #[command(alias = "put")]
    Set(set::SetArgs),
    Get(get::GetArgs),
    #[command(aliases = ["rm", "delete"])]
    Del(del::DelArgs),
    #[command(aliases = ["ls", "keys"])]
    Range(range::RangeArgs),
    Txn(txn::TxnArgs),
    Watch(watch::WatchArgs),
    Wait(wait::WaitArgs),
    Lease(lease::LeaseArgs),
    Watchers(watchers::WatchersArgs),
    Job(job::JobArgs),
    Topics(topics::TopicsArgs),
    Call(call::CallArgs),
    Services(services::ServicesArgs),
    Compact(compact::CompactArgs),
    #[command(alias = "ping")]
    Status(status::StatusArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    Journal(journal::JournalArgs),
    Torture(torture::TortureArgs),
    #[command(hide = true, disable_help_flag = true)]
    Bench(bench::AnyArgs),
    User(user::UserArgs),
    Role(role::RoleArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs the command line with `arguments`, the program's name first, and returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let given: Vec<OsString> = arguments.into_iter().collect();
    if given.first().is_some_and(|name| name == job::GUARD_NAME) {
        return job::run_guard();
    }
    stderr::take_panics();
    let exit = run_to_end(given);
    stderr::finish();
    exit
}

fn run_to_end(given: Vec<OsString>) -> ExitCode {
    let json = given.iter().any(|argument| argument == "--json");
    let read = match read(&given) {
        Ok(read) => read,
        Err(refusal) => return refusal.tell(json),
    };
    let json = read.cli.common.json;
    let exit = read.cli.run(given, read.report).unwrap_or_else(|failure| {
        failure.print(json);
        failure.exit()
    });
    ExitCode::from(exit.code())
}

/// A parsed command line.
struct ParsedCommand {
    cli: Cli,
    /// The server's settings with their sources, if the command is about a server.
    report: Option<SettingsReport>,
}

/// The reason why a command line was not accepted.
enum UsageError {
    /// Also a request for help.
    Clap(clap::Error),
    Failure(Failure),
}

/// Returns the whole command line definition.
fn command() -> clap::Command {
    help::hide_unused(settings::with_environment(Cli::command()))
}

fn read(given: &[OsString]) -> Result<ParsedCommand, UsageError> {
    let mut command = command();
    let resolved = settings::resolve(&command, given).map_err(UsageError::Failure)?;
    let matches = command.clone().try_get_matches_from(&resolved.arguments);
    let matches = matches.map_err(|error| match &resolved.file {
        Some(file) if error.use_stderr() => {
            let (said, file) = (settings::first_paragraph(&error), file.display());
            UsageError::Failure(Failure::usage(format!(
                "with the settings of {file}: {said}; see --help"
            )))
        }
        _ => UsageError::Clap(error),
    })?;
    let mut cli = Cli::from_arg_matches(&matches)
        .map_err(|error| UsageError::Clap(error.format(&mut command)))?;
    cli.common.login.note(&matches);
    let report = match (&cli.command, matches.subcommand()) {
        (Command::Serve(_) | Command::Config(_), Some((_, matches))) => {
            Some(SettingsReport::new(&command, matches, resolved))
        }
        _ => None,
    };
    Ok(ParsedCommand { cli, report })
}

/// Parses the command line of a server again, with the present content of its file.
fn read_serve(given: &[OsString]) -> Result<(serve::ServeArgs, SettingsReport), String> {
    match read(given).map(|ParsedCommand { cli, report }| (cli.command, cli.common, report)) {
        Ok((Command::Serve(args), common, report)) => match args.check(&common) {
            Ok(()) => Ok((args, report.unwrap_or_default())),
            Err(failure) => Err(failure.message().to_owned()),
        },
        Ok(_) => Err("this is not the command line of a server".to_owned()),
        Err(UsageError::Clap(error)) => Err(settings::first_paragraph(&error)),
        Err(UsageError::Failure(failure)) => Err(failure.message().to_owned()),
    }
}

impl UsageError {
    /// Prints what is wrong with the arguments; or the text that --help or --version asked for.
    fn tell(self, json: bool) -> ExitCode {
        let (failure, exit) = match self {
            Self::Clap(error) if error.use_stderr() && json => {
                let said = settings::first_paragraph(&error);
                (Failure::usage(format!("{said}; see --help")), error.exit_code())
            }
            Self::Clap(error) => {
                // An error means that the pipe is closed, so the message is lost.
                let _ = error.print();
                return exit_code(error.exit_code());
            }
            Self::Failure(failure) => {
                let exit = failure.exit().code().into();
                (failure, exit)
            }
        };
        failure.print(json);
        exit_code(exit)
    }
}

fn exit_code(exit: i32) -> ExitCode {
    ExitCode::from(u8::try_from(exit).unwrap_or(Exit::Usage.code()))
}

impl Cli {
    /// Runs the command; `given` is the command line it was parsed from.
    fn run(self, given: Vec<OsString>, report: Option<SettingsReport>) -> Result<Exit, Failure> {
        let mut out = Output::stdout(self.common.json);
        let out = &mut out;
        let (common, name) = (&self.common, self.command.name());
        match self.command {
            Command::Serve(args) => args.run(common, given, report.unwrap_or_default(), out),
            Command::Relay(args) => args.run(common, out),
            Command::Config(args) => config::run(&args, common, report.unwrap_or_default(), out),
            Command::Completions(args) => args.run(&mut command(), out),
            Command::Restore(args) => in_runtime(OnSignal::Interruption, async {
                let exit = args.run(out).await?;
                out.flush().await?;
                Ok(exit)
            }),
            Command::User(args) => args.run(out),
            Command::Role(args) => args.run(out),
            Command::Journal(args) => args.run(out),
            Command::Torture(args) => args.run(out),
            Command::Bench(_) => Err(Failure::usage(bench::MOVED)),
            command => {
                let on_signal = command.on_signal();
                let deadline = command.deadline(common.deadline);
                let credentials = common.login.credentials()?;
                in_runtime(on_signal, async {
                    let client = tokio::select! {
                        client = common.connect(name, credentials, deadline) => client?,
                        exit = signal_before(on_signal) => return exit,
                    };
                    let losses = report_losses(&client, command.reports_losses() && !common.json);
                    let exit = tokio::select! {
                        exit = command.run(&client, out) => exit,
                        never = losses => Ok(never),
                    };
                    if on_signal == OnSignal::Own {
                        // The return of its jobs need not wait for the grace period.
                        client.close().await;
                    }
                    let exit = exit?;
                    out.flush().await?;
                    Ok(exit)
                })
            }
        }
    }
}

impl Common {
    async fn connect(
        &self,
        command: &str,
        credentials: Option<Credentials>,
        deadline: Duration,
    ) -> Result<Client, Error> {
        let defaults = ClientConfig::new(&self.addr);
        let connect_timeout = defaults.connect_timeout.min(self.deadline);
        Client::connect_with(ClientConfig {
            name: format!("wakeful {command}"),
            credentials,
            server: self.server.clone(),
            connect_timeout,
            call_deadline: Some(deadline),
            #[cfg(feature = "tls")]
            tls: self.tls.client()?,
            ..defaults
        })
        .await
        .map_err(|mut error| {
            if error.code == ErrorCode::Unreachable {
                error.message +=
                    "; start one with `wakeful serve`, or give its address with --addr or WAKEFUL_ADDR";
            }
            error
        })
    }
}

/// Prints a notice when the connection is lost, and when it is back.
async fn report_losses(client: &Client, reports: bool) -> Exit {
    if !reports {
        return std::future::pending().await;
    }
    loop {
        let error = client.disconnected().await;
        notice(format_args!("{error}; trying again"));
        client.connected().await;
        notice(format_args!("connected to {} again", client.config().addr));
    }
}

/// The meaning of Ctrl-C and SIGTERM for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnSignal {
    /// The command was interrupted.
    Interruption,
    /// The usual end of the command, and a success.
    End,
    /// The command handles signals itself.
    Own,
}

/// Waits for a signal that arrives before a command handles signals itself.
async fn signal_before(on_signal: OnSignal) -> Result<Exit, Failure> {
    if on_signal != OnSignal::Own {
        return std::future::pending().await;
    }
    let mut signals = Signals::new().map_err(|error| Failure::io("signals", &error))?;
    Ok(signals.next().await)
}

/// Runs a command to its end, or to the first signal.
fn in_runtime(
    on_signal: OnSignal,
    command: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("the runtime", &error))?;
    let result = runtime.block_on(async {
        let mut ends = EndCauses::new().map_err(|error| Failure::io("signals", &error))?;
        let signal = async {
            match on_signal {
                OnSignal::Interruption => ends.signal().await,
                OnSignal::End => {
                    ends.next().await;
                    Exit::Done
                }
                OnSignal::Own => std::future::pending().await,
            }
        };
        tokio::select! {
            result = command => result,
            exit = signal => Ok(exit),
        }
    });
    // Does not wait for a thread that still reads standard input or writes to a stalled pipe.
    runtime.shutdown_background();
    result
}

impl Command {
    /// Returns the name as typed, which operators see in the list of watchers.
    fn name(&self) -> &'static str {
        match self {
            Self::Serve(_) => "serve",
            Self::Relay(_) => "relay",
            Self::Config(_) => "config",
            Self::Set(_) => "set",
            Self::Get(_) => "get",
            Self::Del(_) => "del",
            Self::Range(_) => "range",
            Self::Txn(_) => "txn",
            Self::Watch(_) => "watch",
            Self::Wait(_) => "wait",
            Self::Lease(_) => "lease",
            Self::Watchers(_) => "watchers",
            Self::Job(_) => "job",
            Self::Topics(_) => "topics",
            Self::Call(_) => "call",
            Self::Services(_) => "services",
            Self::Compact(_) => "compact",
            Self::Status(_) => "status",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Journal(_) => "journal",
            Self::Torture(_) => "torture",
            Self::Bench(_) => "bench",
            Self::User(_) => "user",
            Self::Role(_) => "role",
            Self::Completions(_) => "completions",
        }
    }

    /// Returns the deadline of its calls, when `asked` is that of most commands.
    fn deadline(&self, asked: Duration) -> Duration {
        match self {
            Self::Backup(_) => asked.max(backup::TIMEOUT),
            Self::Job(args) => args.deadline(asked),
            _ => asked,
        }
    }

    /// Returns true if the command waits so long that it reports a lost connection.
    fn reports_losses(&self) -> bool {
        match self {
            Self::Watch(_) | Self::Wait(_) => true,
            Self::Job(args) => args.waits(),
            _ => false,
        }
    }

    /// Returns the meaning of a signal for this command.
    fn on_signal(&self) -> OnSignal {
        match self {
            Self::Watch(_) => OnSignal::End,
            Self::Lease(args) if args.endless() => OnSignal::End,
            Self::Job(args) => args.on_signal(),
            _ => OnSignal::Interruption,
        }
    }

    async fn run(self, store: &impl crate::Operations, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            Self::Set(args) => args.run(store, out).await,
            Self::Get(args) => args.run(store, out).await,
            Self::Del(args) => args.run(store, out).await,
            Self::Range(args) => args.run(store, out).await,
            Self::Txn(args) => args.run(store, out).await,
            Self::Watch(args) => args.run(store, out).await,
            Self::Wait(args) => args.run(store, out).await,
            Self::Lease(args) => args.run(store, out).await,
            Self::Watchers(args) => args.run(store, out).await,
            Self::Job(args) => args.run(store, out).await,
            Self::Topics(args) => args.run(store, out).await,
            Self::Call(args) => args.run(store, out).await,
            Self::Services(args) => args.run(store, out).await,
            Self::Compact(args) => args.run(store, out).await,
            Self::Status(args) => args.run(store, out).await,
            Self::Backup(args) => args.run(store, out).await,
            Self::Serve(_)
            | Self::Relay(_)
            | Self::Config(_)
            | Self::Completions(_)
            | Self::User(_)
            | Self::Role(_)
            | Self::Restore(_)
            | Self::Journal(_)
            | Self::Torture(_)
            | Self::Bench(_) => {
                Err(Failure::told(Exit::Failed, "Internal", "this command talks to no server"))
            }
        }
    }
}
