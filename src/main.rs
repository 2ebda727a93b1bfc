//! The `wakeful` binary.

fn main() -> std::process::ExitCode {
    wakeful::cli::main()
}
