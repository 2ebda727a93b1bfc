//! [`OutputBuffer`]: encoded bytes on their way to the socket.
//!
//! A buffer is a list of pieces: encoded bytes, and large `Blob`s ([`OutputBuffer::share`]), which are
//! not copied.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::model::Blob;

/// Number of buffers kept for the next connection with output.
const SPARE_BUFFERS: usize = 8;

/// Maximum capacity of a kept buffer.
const SPARE_BYTES_MAX: usize = 512 * 1024;

/// Written bytes are removed if they are at least this many, and no fewer than the pending ones.
const COMPACT_BYTES: usize = 64 * 1024;

thread_local! {
    /// Buffers of connections without output or requests: an idle connection holds none, and a busy one
    /// does not grow a new one for every answer.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Encoded bytes on their way to the socket. Large values among them are shared, not copied.
#[derive(Default)]
pub(crate) struct OutputBuffer {
    /// The pieces before `bytes`.
    pieces: VecDeque<Piece>,
    piece_bytes: usize,
    bytes: Vec<u8>,
    /// Bytes already written of the first piece, or of `bytes` if there are no pieces.
    written: usize,
}

enum Piece {
    Own(Vec<u8>),
    Shared(Blob),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(blob) => blob,
        }
    }
}

impl OutputBuffer {
    /// Returns the buffer to append to. Call [`settle`](Self::settle) afterwards, in case nothing was
    /// appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = spare_buffer();
        }
        &mut self.bytes
    }

    /// Lends the buffer to append to, until [`put_back`](Self::put_back).
    pub(super) fn lend(&mut self) -> Vec<u8> {
        std::mem::take(self.buffer())
    }

    /// Takes back the buffer that was lent.
    pub(super) fn put_back(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    /// Appends a value without a copy.
    pub(crate) fn share(&mut self, blob: &Blob) {
        if !self.bytes.is_empty() {
            // Appending may have grown the buffer far beyond its content, which is now final.
            self.bytes.shrink_to(2 * self.bytes.len());
            let bytes = std::mem::take(&mut self.bytes);
            self.piece_bytes += bytes.len();
            self.pieces.push_back(Piece::Own(bytes));
        }
        self.piece_bytes += blob.len();
        self.pieces.push_back(Piece::Shared(blob.clone()));
    }

    /// Returns the bytes that the socket has not taken yet.
    pub(crate) fn pending(&self) -> usize {
        self.piece_bytes + self.bytes.len() - self.written
    }

    /// Writes as much as the socket takes. Returns the number of bytes written; ready when nothing is
    /// left.
    pub(crate) fn poll_write(
        &mut self,
        socket: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> (usize, Poll<io::Result<()>>) {
        let (wrote, written) = self.write_some(socket, cx);
        // The buffer of a peer that is always a little behind never becomes empty.
        if self.pieces.is_empty() && self.written >= COMPACT_BYTES.max(self.pending()) {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        if written.is_pending() && self.bytes.capacity() > SPARE_BYTES_MAX {
            // A peer that does not read keeps no more than its pending output.
            self.bytes.shrink_to(2 * self.bytes.len());
        }
        (wrote, written)
    }

    fn write_some(
        &mut self,
        socket: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> (usize, Poll<io::Result<()>>) {
        let mut wrote = 0;
        loop {
            let first = self.pieces.front().map_or(&*self.bytes, Piece::bytes);
            let rest = first.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                match self.pieces.pop_front() {
                    Some(piece) => self.piece_bytes -= piece.bytes().len(),
                    None => break,
                }
                self.written = 0;
                continue;
            }
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

    /// Gives the buffer back if there is no output.
    pub(super) fn settle(&mut self) {
        if self.pending() == 0 {
            self.give_back();
        }
    }

    /// Returns the bytes held apart from shared values, and the capacity of their buffers.
    #[cfg(test)]
    pub(crate) fn own_bytes(&self) -> (usize, usize) {
        let own = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Own(bytes) => Some(bytes),
            Piece::Shared(_) => None,
        });
        let own = own.chain([&self.bytes]);
        own.fold((0, 0), |(len, room), it| (len + it.len(), room + it.capacity()))
    }

    fn give_back(&mut self) {
        self.written = 0;
        keep_spare(std::mem::take(&mut self.bytes));
    }
}

/// Returns a spare buffer of the thread, or a new one.
pub(super) fn spare_buffer() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a buffer for the next connection of the thread that needs one.
pub(super) fn keep_spare(mut bytes: Vec<u8>) {
    if bytes.capacity() == 0 || bytes.capacity() > SPARE_BYTES_MAX {
        return;
    }
    bytes.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_BUFFERS {
            spare.push(bytes);
        }
    });
}

/// Closes the sending side and reads to the end of the peer's: closing a socket with unread input
/// discards output that was written but not yet delivered.
pub(crate) async fn drain(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
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

    /// The peer always reads, but never everything.
    #[actix_rt::test]
    async fn w9_a_peer_that_is_always_behind_costs_no_more_than_that() {
        const BEHIND: usize = 256 * 1024;
        let (mut peer, mut socket) = pair().await;
        let mut output = OutputBuffer::default();
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

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        (peer.unwrap(), accepted.unwrap().0)
    }

    #[test]
    fn s10_who_has_nothing_to_say_holds_no_buffer() {
        let mut talked = OutputBuffer::default();
        talked.buffer().extend_from_slice(&[0; 4096]);
        talked.written = 4096;
        talked.settle();
        let mut idle = OutputBuffer::default();
        assert!(idle.buffer().capacity() >= 4096, "it is used again");
        idle.settle();
        assert_eq!((talked.bytes.capacity(), idle.bytes.capacity()), (0, 0));
    }
}
