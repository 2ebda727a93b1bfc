//! [`Output`]: encoded bytes on their way to the socket.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Buffers kept for the next connection that has something to say.
const SPARE_BUFFERS: usize = 8;

/// A buffer that has grown beyond this is not kept.
const SPARE_BYTES_MAX: usize = 512 * 1024;

thread_local! {
    /// Buffers of connections that have nothing to say: an idle one holds none, and a busy one
    /// does not grow a new one for every answer.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    /// Where to append what is to be said.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        &mut self.bytes
    }

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
        self.give_back();
        (wrote, Poll::Ready(Ok(())))
    }

    fn give_back(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.written = 0;
        if bytes.capacity() <= SPARE_BYTES_MAX {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARE_BUFFERS {
                    spare.push(bytes);
                }
            });
        }
    }
}
