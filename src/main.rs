//! The `wakeful` binary.

use std::process::ExitCode;

/// mimalloc is fast, and keeps the heap compact, for many small keys and values that come and go. Only
/// the binary chooses an allocator; embedders choose theirs.
#[global_allocator]
static ALLOCATOR: wakeful::Allocator = wakeful::Allocator;

fn main() -> ExitCode {
    wakeful::run_command_line(std::env::args_os())
}
