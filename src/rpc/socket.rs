//! [`Socket`]: the transport of a connection.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream of bytes in both directions.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// The transport of a connection: a plain TCP socket, without indirection, or another stream on top of
/// one.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Other(Box<dyn ByteStream>),
}

/// The result of [`Socket::exchange`]: at least one of them is set.
pub(crate) struct TransferProgress {
    /// The number of bytes received; 0 at the end of the stream.
    pub(crate) read: Option<io::Result<usize>>,
    /// The number of bytes sent.
    pub(crate) written: Option<io::Result<usize>>,
}

impl Socket {
    /// Waits until something was received, which is appended to `received`, or some of `output` is
    /// sent.
    ///
    /// Cancel: harmless, nothing was moved.
    pub(crate) async fn exchange(
        &mut self,
        received: &mut BytesMut,
        output: &[u8],
    ) -> TransferProgress {
        poll_fn(|cx| {
            let written = match output {
                [] => Poll::Pending,
                output => Pin::new(&mut *self).poll_write(cx, output),
            };
            let read = pin!(self.read_buf(received)).poll(cx);
            if read.is_pending() && written.is_pending() {
                return Poll::Pending;
            }
            Poll::Ready(TransferProgress { read: ready(read), written: ready(written) })
        })
        .await
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(stream) => f.debug_tuple("Tcp").field(stream).finish(),
            Self::Other(_) => f.debug_tuple("Other").finish_non_exhaustive(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
