//! `wakeful call`

use serde::de::IgnoredAny;

use super::argument::bytes;
use super::failure::{Exit, Failure};
use super::input;
use super::output::Output;
use crate::model::{Invocation, Payload};
use crate::{Blob, Methods};

/// Call a method of an application's service
///
/// The argument and the result are JSON. `wakeful services` lists the available methods; --deadline
/// is the time the method may take. Exits with 3 if the service or the method does not exist.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful call HelloService.Hello '\"world\"'
  wakeful call Clock.Now                   a method without an argument
  wakeful call Report.Print - < report.json")]
pub(crate) struct CallArgs {
    /// The method, under its registered name
    #[arg(value_name = "SERVICE.METHOD")]
    method: String,
    /// The argument as JSON; - reads standard input
    #[arg(value_name = "JSON", value_parser = bytes(), default_value = "null",
        hide_default_value = true)]
    argument: Blob,
}

impl CallArgs {
    pub(crate) async fn run(
        self,
        methods: &impl Methods,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let argument = match &*self.argument {
            b"-" => input::read_stdin(methods).await?,
            _ => self.argument,
        };
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(&argument) {
            return Err(Failure::usage(format!(
                "the argument is not JSON ({error}); a string is '\"text\"', quotes and all"
            )));
        }
        let argument = Payload::Json(argument);
        let output = methods.invoke_raw(Invocation { method: self.method, argument }).await?;
        out.bytes(output.bytes());
        out.bytes(b"\n");
        Ok(Exit::Done)
    }
}
