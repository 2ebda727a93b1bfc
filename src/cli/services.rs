//! `wakeful services`

use super::failure::{Exit, Failure};
use super::output::Output;
use crate::Methods;
use crate::rpc::proto::SerializeWire;

/// List the services of an application
///
/// Prints one method per line, as `wakeful call` takes it. A server that embeds no services prints
/// nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful services
  wakeful services --json                  one service per line, with methods")]
pub(crate) struct ServicesArgs {}

impl ServicesArgs {
    pub(crate) async fn run(
        self,
        methods: &impl Methods,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        for service in methods.services().await? {
            if out.json() {
                out.object(&service.shown());
                continue;
            }
            for method in &service.methods {
                out.line(format_args!("{}.{method}", service.name));
            }
        }
        Ok(Exit::Done)
    }
}
