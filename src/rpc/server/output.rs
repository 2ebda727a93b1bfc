//! [`Output`]: encoded bytes on their way to the socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// A buffer that has grown beyond this is given back when it is empty: an idle connection is
/// small.
const KEEP_BYTES: usize = 1024;

#[derive(Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    written: usize,
}

impl Output {
    /// Bytes that the socket has not taken yet.
    pub(super) fn pending(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Writes as much as the socket takes. Ready when nothing is left; tells how much it wrote.
    pub(super) fn poll_write(
        &mut self,
        socket: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> (usize, Poll<io::Result<()>>) {
        let mut wrote = 0;
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *socket).poll_write(cx, rest) {
                Poll::Pending => return (wrote, Poll::Pending),
                Poll::Ready(Ok(0)) => {
                    return (wrote, Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(bytes)) => {
                    self.written += bytes;
                    wrote += bytes;
                }
                Poll::Ready(Err(error)) => return (wrote, Poll::Ready(Err(error))),
            }
        }
        self.bytes.clear();
        self.written = 0;
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::new();
        }
        (wrote, Poll::Ready(Ok(())))
    }
}
