//! Every command of the command line, in processes of their own, against a server process.

mod awaiting;
mod ends;
mod jobs;
mod keys;
mod leases;
mod limits;
mod operators;
mod serving;
#[cfg(target_os = "linux")]
mod workers;
