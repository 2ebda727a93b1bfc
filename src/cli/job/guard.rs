//! [`GuardProcess`]: kills the commands of a worker that died without ending them itself.
//!
//! A killed worker runs no code, so a second process ([`guard_process`](super::guard_process)) does
//! this for it. The two share a socket. Each command registers its process group there after the
//! fork and before the exec, so no command ever runs unregistered. When the worker dies, for
//! whatever reason, the kernel closes its end of the socket, and the guard kills the registered
//! groups.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::net::SendFlags;
use rustix::process::{Pid, Signal, getpid, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// First argument of the guard process, by which the binary recognizes its role. It does not
/// contain `wakeful`, so that `pkill wakeful` spares the guard.
pub(crate) const NAME: &str = "job-guard";

/// Maximum time for the guard process to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A message to the guard process: a command began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GuardMessage {
    /// Number of the command, never reused by a worker.
    pub(super) command: u64,
    /// The process group of a command that begins; `None` when the command has ended.
    pub(super) group: Option<Pid>,
}

impl GuardMessage {
    pub(super) const BYTES: usize = 16;

    /// Called between fork and exec, so it must not allocate.
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let group = self.group.map_or(0, Pid::as_raw_pid);
        ((u128::from(self.command) << 64) | u128::from(group.cast_unsigned())).to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let number = u128::from_be_bytes(bytes);
        let group = Pid::from_raw((number as u32).cast_signed());
        Self { command: (number >> 64) as u64, group }
    }
}

/// The worker's end of the socket to the guard process.
#[derive(Debug)]
pub(super) struct GuardProcess {
    line: UnixStream,
    state: Mutex<GuardState>,
}

#[derive(Debug, Default)]
struct GuardState {
    /// Number of commands so far.
    commands: u64,
    /// Ended commands that the guard process has not been informed of yet.
    over: VecDeque<u64>,
    /// Processes that this worker started and has not waited for.
    children: Vec<Pid>,
}

impl GuardProcess {
    /// Starts the guard process, which is ready when this returns.
    pub(super) async fn start() -> io::Result<Arc<Self>> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut line = UnixStream::from_std(ours)?;
        // Nobody waits for the guard process: it lives as long as this one, and ends by itself.
        let _ = command()?.stdin(OwnedFd::from(theirs)).spawn()?;
        timeout(START_TIMEOUT, line.read_u8()).await??;
        Ok(Self::over(line))
    }

    /// Returns a guard that uses `line` as its socket.
    pub(super) fn over(line: UnixStream) -> Arc<Self> {
        Arc::new(Self { line, state: Mutex::default() })
    }

    /// Returns when the guard process is gone.
    pub(super) async fn lost(&self) {
        loop {
            // The read reports an error as well.
            let _ = self.line.readable().await;
            match self.line.try_read(&mut [0; 16]) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Returns true if this worker waits for `process`.
    pub(super) fn awaits(&self, process: Pid) -> bool {
        self.state.lock().children.contains(&process)
    }

    /// Starts `command` as the leader of a process group of its own, which the guard knows before
    /// the command is executed.
    ///
    /// Errors: those of [`Command::spawn`]; `WouldBlock` if the guard process does not read, and
    /// `BrokenPipe` if it is gone. The command was not executed.
    pub(super) fn spawn(
        self: &Arc<Self>,
        mut command: Command,
    ) -> io::Result<(Child, ProcessGroup)> {
        let number = {
            let mut state = self.state.lock();
            self.send_over(&mut state)?;
            state.commands += 1;
            state.commands
        };
        // Dropped if the spawn fails, which removes the registration.
        let mut group = ProcessGroup { guard: Arc::clone(self), command: number, id: None };
        let guard = Arc::clone(self);
        let register =
            move || Ok(guard.send(GuardMessage { command: number, group: Some(getpid()) })?);
        #[expect(unsafe_code, reason = "a hook between fork and exec is always unsafe to install")]
        // SAFETY: between fork and exec only async-signal-safe functions may be called, as another
        // thread may have held any lock when this process was copied. `register` makes two system
        // calls, getpid and send, on values that it owns. It allocates nothing (an error is a bare
        // number), takes no lock, and cannot panic. Its descriptor is open: it holds the guard.
        unsafe {
            command.pre_exec(register);
        }
        let child = command.process_group(0).spawn()?;
        group.begin(child.id());
        Ok((child, group))
    }

    /// Sends one entry whole or not at all: the socket buffer holds whole entries of one size.
    fn send(&self, entry: GuardMessage) -> rustix::io::Result<()> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::send(&self.line, &entry.to_bytes(), flags).map(|_| ())
    }

    fn send_over(&self, state: &mut GuardState) -> rustix::io::Result<()> {
        while let Some(command) = state.over.front() {
            self.send(GuardMessage { command: *command, group: None })?;
            state.over.pop_front();
        }
        Ok(())
    }
}

/// Returns the command line of the guard process.
fn command() -> io::Result<Command> {
    // The link also works for a binary that was replaced or removed since.
    let link = std::path::Path::new("/proc/self/exe");
    let binary = if link.exists() { link.to_owned() } else { std::env::current_exe()? };
    let mut command = Command::new(binary);
    command.arg0(NAME).arg(std::process::id().to_string()).env_clear().current_dir("/");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// The process group of one command. Dropping it removes the registration and kills the remaining
/// processes, unless [`leave`](Self::leave) was called.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    guard: Arc<GuardProcess>,
    command: u64,
    id: Option<Pid>,
}

impl ProcessGroup {
    fn begin(&mut self, leader: Option<u32>) {
        self.id = leader.and_then(|id| Pid::from_raw(id.cast_signed()));
        self.guard.state.lock().children.extend(self.id);
    }

    /// Sends a signal to every process of the group.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // All of them may be gone.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Leaves the remaining processes of the group running.
    pub(super) fn leave(mut self) {
        self.forget();
    }

    /// Removes the registration. Called after the leader was waited for, and again on drop.
    fn forget(&mut self) {
        let mut state = self.guard.state.lock();
        if let Some(id) = self.id.take() {
            state.children.retain(|child| *child != id);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.forget();
        let mut state = self.guard.state.lock();
        state.over.push_back(self.command);
        // A guard that does not read learns of it before the next command begins. If the guard is
        // gone, the worker soon is too.
        let _ = self.guard.send_over(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        for command in [0, 1, u64::MAX] {
            for group in [None, Pid::from_raw(1), Pid::from_raw(i32::MAX)] {
                let entry = GuardMessage { command, group };
                assert_eq!(GuardMessage::from_bytes(entry.to_bytes()), entry);
            }
        }
    }
}
