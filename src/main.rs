//! The `wakeful` binary.

use std::process::ExitCode;

/// Many small keys and values come and go: mimalloc keeps that fast and the heap compact. Only the
/// binary chooses an allocator; embedders choose theirs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    wakeful::run_command_line(std::env::args_os())
}
