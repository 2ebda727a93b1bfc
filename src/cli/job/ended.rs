//! [`Ended`]: a job whose process is over, and what is told of it.

use super::show::one_line;
use crate::cli::json::Object;
use crate::cli::output::Output;
use crate::{Error, ErrorCode, Reservation, Settlement, Verdict};

/// A job whose process is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) reservation: Reservation,
    /// `None` if it is somebody else's business now.
    pub(super) verdict: Option<Verdict>,
}

impl Ended {
    pub(super) fn settlement(&self) -> Option<Settlement> {
        let reservation = self.reservation;
        self.verdict.clone().map(|verdict| Settlement { reservation, verdict })
    }

    /// How many bytes its settlement has, about.
    pub(super) fn bytes(&self) -> usize {
        match &self.verdict {
            Some(Verdict::Done { output }) => output.len(),
            _ => 0,
        }
    }

    /// What to settle it with instead, if its result is refused for what it is.
    pub(super) fn without_result(&self, refusal: &Error) -> Option<Self> {
        let its_result = matches!(self.verdict, Some(Verdict::Done { .. }));
        let refused = matches!(
            refusal.code,
            ErrorCode::LimitExceeded | ErrorCode::FrameTooLarge | ErrorCode::InvalidArgument
        );
        let error = format!("its result was refused: {refusal}");
        let verdict = Some(Verdict::Retry { after: None, error });
        (its_result && refused).then_some(Self { reservation: self.reservation, verdict })
    }

    /// Says what became of it; `refusal` is why that was not recorded.
    pub(super) fn show(&self, refusal: Option<&Error>, out: &mut Output) {
        let Reservation { id, epoch } = self.reservation;
        let (what, error) = match (&self.verdict, refusal) {
            (_, Some(refusal)) => ("lost", Some(refusal.message.as_str())),
            (None, _) => ("revoked", None),
            (Some(Verdict::Done { .. }), _) => ("done", None),
            (Some(Verdict::Retry { error, .. } | Verdict::Fail { error }), _) => {
                ("failed", Some(error.as_str()))
            }
            (Some(Verdict::Snooze { .. } | Verdict::Release), _) => ("released", None),
        };
        if out.json() {
            let object = Object::new().number("id", id).number("epoch", epoch.into());
            let object = object.text("result", what);
            out.object(error.map_or(object.clone(), |error| object.text("error", error)));
        } else {
            let error = error.map_or(String::new(), |error| format!(": {}", one_line(error)));
            out.line(format_args!("{what} {id}{error}"));
        }
    }
}
