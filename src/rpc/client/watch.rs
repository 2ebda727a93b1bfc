//! [`WatchStream`] and [`WatchMux`]: what a watch yields.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::{Error, ErrorCode};
use crate::model::{Revision, WatchItem, WatchRequest};

/// Name of a watch on a [`WatchMux`].
pub type WatchId = u64;

/// One watch.
#[derive(Debug)]
pub struct WatchStream {}

impl WatchStream {
    /// Everything up to this revision has been yielded: resume from the next.
    pub fn revision(&self) -> Revision {
        0
    }
}

impl Stream for WatchStream {
    type Item = Result<WatchItem, Error>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// Many watches on one stream.
#[derive(Debug)]
pub struct WatchMux {}

impl WatchMux {
    /// Adds a watch; what it yields comes under the id returned.
    pub async fn add(&self, request: WatchRequest) -> Result<WatchId, Error> {
        let _ = request;
        Err(Error::new(ErrorCode::Internal, "the client is not written yet"))
    }

    /// Ends a watch; nothing more of it is yielded.
    pub fn cancel(&self, id: WatchId) {
        let _ = id;
    }
}

impl Stream for WatchMux {
    type Item = (WatchId, Result<WatchItem, Error>);

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}
