//! [`TlsStream`]: a TLS connection without hidden buffering.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes count as written when the socket has them, not when they are encrypted: writers need not
/// flush, and their deadlines and limits apply to the peer, as with a plain socket.
///
/// A writer that gets `Pending` must retry with the same bytes, possibly followed by more.
pub(super) struct TlsStream<S> {
    inner: S,
    /// Number of encrypted bytes that the socket has not accepted yet.
    owed: usize,
    /// The error that a successful read met after its data.
    failed: Option<io::Error>,
}

impl<S> TlsStream<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, owed: 0, failed: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TlsStream<S> {
    /// Reads all available records: a record is small, and data read at once is processed at once.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Err(in_short(error)));
        }
        let start = buffer.filled().len();
        while buffer.remaining() > 0 {
            let before = buffer.filled().len();
            match Pin::new(&mut this.inner).poll_read(cx, buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() > before => {}
                Poll::Ready(Err(error)) if before > start => {
                    this.failed = Some(error);
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(in_short(error))),
                Poll::Pending if before > start => break,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Rewords the error of a connection that was cut: the library's message is for programmers.
fn in_short(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return io::Error::new(error.kind(), "connection reset without close_notify");
    }
    error
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.owed == 0 {
            this.owed = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
        }
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut this.owed)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Sends `close_notify`, then closes this side.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
