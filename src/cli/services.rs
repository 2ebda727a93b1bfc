//! `wakeful services`

use super::failure::{Exit, Failure};
use super::output::Output;
use crate::Methods;
use crate::rpc::proto::Shown;

/// List the services that an application offers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one method a line, as `wakeful call` takes it. A server that embeds no services of its own
offers none, and nothing is printed.

Examples:
  wakeful services
  wakeful services --json                  one service a line, with its methods")]
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
