//! [`Proxy`]: cuts the connections between client and server at random bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Forwards connections to a server. Ends with the runtime that it was started on.
pub(super) struct Proxy {
    addr: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: Mutex<String>,
    rng: Mutex<StdRng>,
    /// Maximum number of bytes of a connection in each direction before it is cut.
    bytes_max: AtomicU64,
    /// True if sent bytes are no longer forwarded.
    deaf: AtomicBool,
    cuts: AtomicU64,
    cut_now: Notify,
}

impl Proxy {
    /// Starts a proxy to the server at `addr`; cuts each connection after up to `bytes_max` bytes,
    /// and a tenth of that more for each earlier connection, so that a longer frame gets through
    /// eventually.
    pub(super) async fn start(addr: &str, seed: u64, bytes_max: u64) -> Self {
        // Shown if the test fails.
        eprintln!("seed {seed}");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            server: Mutex::new(addr.to_owned()),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            bytes_max: AtomicU64::new(bytes_max),
            deaf: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            cut_now: Notify::new(),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { addr: own, shared }
    }

    /// Returns the address for clients.
    pub(super) fn addr(&self) -> &str {
        &self.addr
    }

    /// Returns the number of cut connections.
    pub(super) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// Cuts every connection now; later ones go to `server` and are not cut.
    pub(super) fn move_to(&self, server: &str) {
        server.clone_into(&mut self.shared.server.lock());
        self.calm();
        self.shared.cut_now.notify_waiters();
    }

    /// Stops cutting connections that begin from now on.
    pub(super) fn calm(&self) {
        self.shared.bytes_max.store(u64::MAX, Ordering::SeqCst);
    }

    /// From now on reads the sent bytes and forwards nothing; connections stay open.
    pub(super) fn go_deaf(&self) {
        self.shared.deaf.store(true, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (near, _) = listener.accept().await.unwrap();
        tokio::spawn(forward(near, Arc::clone(&shared)));
    }
}

async fn forward(mut near: TcpStream, shared: Arc<Shared>) {
    let server = shared.server.lock().clone();
    // If the server is gone, so is this client's connection.
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let (there_max, back_max) = shared.budgets();
    let cut_now = shared.cut_now.notified();
    let (near_read, near_write) = near.split();
    let (far_read, far_write) = far.split();
    let cut = tokio::select! {
        cut = carry(near_read, far_write, there_max, &shared) => cut,
        cut = carry(far_read, near_write, back_max, &shared) => cut,
        () = cut_now => true,
    };
    shared.cuts.fetch_add(u64::from(cut), Ordering::SeqCst);
}

impl Shared {
    fn budgets(&self) -> (u64, u64) {
        let max = self.bytes_max.load(Ordering::SeqCst);
        let cuts = self.cuts.load(Ordering::SeqCst);
        let draw = || match max {
            u64::MAX => max,
            max => self.rng.lock().random_range(0..max + max / 10 * cuts),
        };
        (draw(), draw())
    }
}

/// Forwards up to `budget` bytes; returns true if it ended because of the budget.
async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut budget: u64,
    shared: &Shared,
) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return false };
        if shared.deaf.load(Ordering::SeqCst) {
            continue;
        }
        let passed = read.min(usize::try_from(budget).unwrap_or(usize::MAX));
        if to.write_all(&buffer[..passed]).await.is_err() {
            return false;
        }
        if budget != u64::MAX {
            budget -= passed as u64;
        }
        if passed < read {
            return true;
        }
    }
}
