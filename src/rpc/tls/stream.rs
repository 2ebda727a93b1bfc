//! [`TlsStream`]: a TLS connection that keeps nothing back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes count as written when the socket has them, not when they are encrypted: so those who
/// write need not flush, and their deadlines and limits mean the peer, as they do with a plain socket.
///
/// Whoever is told `Pending` by a write must come again with the same bytes, and may have more behind
/// them.
pub(super) struct TlsStream<S> {
    inner: S,
    /// Bytes that are encrypted, of which the socket does not have all yet.
    owed: usize,
    /// What a read that has brought something met after that.
    failed: Option<io::Error>,
}

impl<S> TlsStream<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, owed: 0, failed: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TlsStream<S> {
    /// Takes all there is: a record is small, and what is read at once is done at once.
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

/// The cut of a connection in our words: the library's are for those who program with it.
fn in_short(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return io::Error::new(error.kind(), "it was cut off, without a goodbye");
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

    /// Says goodbye (`close_notify`), then closes our side.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
