//! The help of each command: which of the common options it lists.

use clap::{Arg, Command};

/// Identifiers of the TLS options that configure a server.
const OF_A_SERVER: &[&str] = &["tls", "tls_ca", "tls_server_name", "tls_cert", "tls_key"];

/// The commands that are no client of a server, with the common options that they use besides
/// `--json`.
const OFFLINE: [(&str, &[&str]); 9] = [
    ("serve", OF_A_SERVER),
    ("relay", &["tls", "tls_cert", "tls_key"]),
    ("config", &[]),
    ("completions", &[]),
    ("journal", &[]),
    ("restore", &[]),
    ("torture", &[]),
    ("user", &[]),
    ("role", &[]),
];

/// Hides common options from the help of the commands that do not use them.
///
/// Clap gives each command a copy of every common option unless the command has one of its own, so
/// a command gets a hidden one first.
pub(super) fn hide_unused(command: Command) -> Command {
    OFFLINE.into_iter().fold(command, |command, (name, used)| {
        let is_unused =
            |arg: &&Arg| arg.get_id() != "json" && !used.contains(&arg.get_id().as_str());
        let common = command.get_arguments().filter(|arg| arg.is_global_set());
        let hidden: Vec<Arg> =
            common.filter(is_unused).cloned().map(|arg| arg.hide(true)).collect();
        command.mut_subcommand(name, |command| command.args(hidden))
    })
}
