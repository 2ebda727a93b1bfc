//! [`Output`]: encoded bytes on their way to the socket.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::rpc::socket::Socket;

/// Buffers kept for the next connection that has something to say.
const SPARE_BUFFERS: usize = 8;

/// A buffer that has grown beyond this is not kept.
const SPARE_BYTES_MAX: usize = 512 * 1024;

/// So many bytes that are written, and more than are left, make room for new ones.
const COMPACT_BYTES: usize = 64 * 1024;

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
    /// Where to append what is to be said. To be [settled](Self::settle) if nothing was.
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
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> (usize, Poll<io::Result<()>>) {
        let (wrote, written) = self.write_some(socket, cx);
        // For a peer that is always a little behind, this never becomes empty.
        if self.written >= COMPACT_BYTES.max(self.pending()) {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        (wrote, written)
    }

    fn write_some(
        &mut self,
        socket: &mut Socket,
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

    /// Holds no buffer when there is nothing to say.
    pub(super) fn settle(&mut self) {
        if self.pending() == 0 {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if self.bytes.capacity() == 0 {
            return;
        }
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

/// Closes our side and reads to the end of the peer's, so that the close does not take back what
/// was written, as a socket with unread input does.
pub(in crate::rpc) async fn hear_out(socket: &mut Socket) -> io::Result<()> {
    socket.shutdown().await?;
    let mut ignored = [0; 1024];
    while socket.read(&mut ignored).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A peer that reads all the time, but never everything.
    #[actix_rt::test]
    async fn w9_a_peer_that_is_always_behind_costs_no_more_than_that() {
        const BEHIND: usize = 256 * 1024;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (mut peer, (socket, _)) = (peer.unwrap(), accepted.unwrap());
        let mut socket = Socket::from(socket);
        let mut output = Output::default();
        let (mut sent, mut received) = (0_usize, 0);
        let mut buffer = vec![0; 32 * 1024];
        while received < 64 * BEHIND {
            while output.pending() < BEHIND {
                output.buffer().extend((sent..sent + 4096).map(|n| (n / 7) as u8));
                sent += 4096;
            }
            let (_, written) =
                std::future::poll_fn(|cx| Poll::Ready(output.poll_write(&mut socket, cx))).await;
            assert!(!matches!(written, Poll::Ready(Err(_))));
            if written.is_ready() {
                continue;
            }
            let count = peer.read(&mut buffer).await.unwrap();
            for (n, byte) in buffer[..count].iter().enumerate() {
                assert_eq!(*byte, ((received + n) / 7) as u8);
            }
            received += count;
            let held = output.bytes.capacity();
            assert!(held <= 4 * BEHIND, "{held} bytes for {BEHIND}");
        }
    }

    #[test]
    fn s10_who_has_nothing_to_say_holds_no_buffer() {
        let mut talked = Output::default();
        talked.buffer().extend_from_slice(&[0; 4096]);
        talked.written = 4096;
        talked.settle();
        let mut idle = Output::default();
        assert!(idle.buffer().capacity() >= 4096, "it is used again");
        idle.settle();
        assert_eq!((talked.bytes.capacity(), idle.bytes.capacity()), (0, 0));
    }
}
