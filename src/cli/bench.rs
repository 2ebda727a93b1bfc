//! `wakeful bench`, which became a program of its own.

use std::ffi::OsString;

pub(crate) const MOVED: &str = "the load generator is a program of its own with the same options, \
    `wakeful-bench`: install it from a checkout with `cargo install --path crates/wakeful-bench`";

/// Whatever the load generator takes.
#[derive(Debug, clap::Args)]
pub(crate) struct AnyArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _arguments: Vec<OsString>,
}
