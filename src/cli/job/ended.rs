//! [`EndedCommand`]: a job whose process ended, and the [`SettledLine`] printed about it.

use serde::Serialize;

use super::command_error::CommandError;
use super::show::one_line;
use crate::cli::failure::Exit;
use crate::cli::output::Output;
use crate::rpc::proto::SerializeWire;
use crate::{Error, ErrorCode, Reservation, Settlement, Verdict};

/// A job whose process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EndedCommand {
    pub(super) reservation: Reservation,
    /// `None` if this worker no longer holds the job.
    pub(super) verdict: Option<Verdict>,
    /// The exit status of a worker that runs this job only.
    pub(super) exit: Exit,
    /// The reason why the command was not run.
    pub(super) command_error: Option<CommandError>,
}

impl EndedCommand {
    /// Returns a job whose command ran to its end.
    pub(super) fn new(reservation: Reservation, verdict: Option<Verdict>, exit: Exit) -> Self {
        Self { reservation, verdict, exit, command_error: None }
    }

    /// Returns a job that goes back because its command cannot be run.
    pub(super) fn hindered(reservation: Reservation, command_error: CommandError) -> Self {
        let verdict = Some(Verdict::Release);
        Self { reservation, verdict, exit: Exit::Failed, command_error: Some(command_error) }
    }

    pub(super) fn settlement(&self) -> Option<Settlement> {
        let reservation = self.reservation;
        self.verdict.clone().map(|verdict| Settlement { reservation, verdict })
    }

    /// Returns the approximate size of its settlement in bytes.
    pub(super) fn bytes(&self) -> usize {
        match &self.verdict {
            Some(Verdict::Done { output }) => output.len(),
            _ => 0,
        }
    }

    /// Returns the settlement to send instead if the result is refused for its content.
    pub(super) fn without_result(&self, refusal: &Error) -> Option<Self> {
        let its_result = matches!(self.verdict, Some(Verdict::Done { .. }));
        let refused = matches!(
            refusal.code,
            ErrorCode::LimitExceeded | ErrorCode::FrameTooLarge | ErrorCode::InvalidArgument
        );
        let error = format!("its result was refused: {refusal}");
        let verdict = Some(Verdict::Retry { after: None, error });
        (its_result && refused).then(|| Self::new(self.reservation, verdict, Exit::Failed))
    }

    /// Returns the line to print; `refusal` is the reason why the settlement was not recorded.
    pub(super) fn line(self, refusal: Option<Error>) -> SettledLine {
        let (what, error) = match (self.verdict, refusal) {
            (_, Some(refusal)) => ("lost", Some(refusal.message)),
            (None, _) => ("revoked", None),
            (Some(Verdict::Done { .. }), _) => ("done", None),
            (Some(Verdict::Retry { error, .. } | Verdict::Fail { error }), _) => {
                ("failed", Some(error))
            }
            (Some(Verdict::Snooze { .. } | Verdict::Release), _) => {
                ("released", self.command_error.map(|command_error| command_error.message))
            }
        };
        SettledLine { reservation: self.reservation, what, error }
    }
}

/// The line printed about a settled job.
#[derive(Debug)]
pub(super) struct SettledLine {
    pub(super) reservation: Reservation,
    pub(super) what: &'static str,
    pub(super) error: Option<String>,
}

impl SettledLine {
    pub(super) fn print(&self, out: &mut Output) {
        let Self { reservation, what, error } = self;
        if out.json() {
            let (reservation, error) = (reservation.shown(), error.as_deref());
            out.object(&SettledJson { reservation, result: what, error });
        } else {
            let error = error.as_deref();
            let error = error.map_or(String::new(), |error| format!(": {}", one_line(error)));
            out.line(format_args!("{what} {}{error}", reservation.id));
        }
    }
}

/// A [`SettledLine`] in JSON.
#[derive(Serialize)]
struct SettledJson<'a, T> {
    #[serde(flatten)]
    reservation: T,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Returns how many of `over` fit in one request: at least one.
pub(super) fn fitting(over: &[EndedCommand], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = over.iter().take_while(|ended| {
        bytes += ended.bytes();
        bytes <= bytes_max
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(bytes: usize) -> EndedCommand {
        let output = vec![b'x'; bytes].into();
        let reservation = Reservation { id: 1, epoch: 1 };
        EndedCommand::new(reservation, Some(Verdict::Done { output }), Exit::Done)
    }

    #[test]
    fn results_are_settled_together_as_far_as_they_fit_and_at_least_one() {
        let over = [done(4), done(4), done(4)];
        for (bytes_max, count) in [(100, 3), (12, 3), (11, 2), (4, 1), (3, 1)] {
            assert_eq!(fitting(&over, bytes_max), count, "{bytes_max}");
        }
    }
}
