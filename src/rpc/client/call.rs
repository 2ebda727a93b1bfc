//! [`Call`]: the answer to come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Error, ErrorCode};

/// The answer to come of a request that is under way. Await it, ask for it with
/// [`try_take`](Self::try_take), or drop it to give it up.
#[derive(Debug)]
pub struct Call<T> {
    answer: Option<Result<T, Error>>,
}

impl<T> Call<T> {
    pub(super) fn refused(error: Error) -> Self {
        Self { answer: Some(Err(error)) }
    }

    /// Whether the answer is there.
    pub fn is_done(&self) -> bool {
        self.answer.is_some()
    }

    /// The answer, if it is there; only once.
    pub fn try_take(&mut self) -> Option<Result<T, Error>> {
        self.answer.take()
    }
}

impl<T: Unpin> Future for Call<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.get_mut().answer.take();
        Poll::Ready(answer.unwrap_or_else(|| Err(Error::new(ErrorCode::Internal, "taken"))))
    }
}
