"""The servers that are measured, and what the kernel says about them.

Every server is a process started here and stopped here, by its pid.
"""

import os
import select
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
# Another binary can be named, to compare two versions.
WAKEFUL = Path(os.environ.get("WAKEFUL", "target/release/wakeful"))
NETRPC = Path("target/bench/netrpc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 10


class Missing(Exception):
    """A program that a benchmark needs is not here."""


class Server:
    """A running server."""

    name = "server"

    def __init__(self, command):
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            self.command,
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def said_address(self):
        """The address in its first line, `listening on ADDR`."""
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS_MAX)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("listening on "):
            self.__exit__()
            raise RuntimeError(f"{' '.join(self.command)} did not start: {line!r}")
        return line.split()[-1]

    def cpu_seconds(self):
        """User and system time it has had, of all its threads."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def rss_bytes(self):
        """Memory it holds that is in RAM (sockets' buffers are the kernel's and not in it)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS in /proc")


class Wakeful(Server):
    """Wakeful with its defaults."""

    name = "Wakeful"

    def __init__(self, *options):
        if not (REPO / WAKEFUL).exists():
            raise Missing(f"{WAKEFUL} is not built: run `cargo build --release`")
        super().__init__([WAKEFUL, "serve", "--listen", "127.0.0.1:0", *options])
        self.addr = self.said_address()

    def bench_command(self, *options):
        """The command line of its own load generator, against itself."""
        words = [WAKEFUL, "bench", "--addr", self.addr, "--json", *options]
        return [str(word) for word in words]


class Redis(Server):
    """Redis that keeps everything in memory, as Wakeful does, and writes no file."""

    name = "Redis"

    def __init__(self):
        for program in ["redis-server", "redis-benchmark"]:
            if shutil.which(program) is None:
                raise Missing(f"{program} is not installed: it is in Debian's redis packages")
        self.port = free_port()
        quiet = ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
        bind = ["--bind", "127.0.0.1", "--port", self.port]
        super().__init__(["redis-server", *bind, *quiet])
        self.addr = f"127.0.0.1:{self.port}"
        self.await_start()

    def await_start(self):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as peer:
                    peer.sendall(b"PING\r\n")
                    if peer.recv(64) == b"+PONG\r\n":
                        return
            except OSError:
                pass
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError("redis-server did not start")

    def fill(self, keys, value_bytes):
        """Sets every key that redis-benchmark draws from."""
        value = b"x" * value_bytes
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as peer:
            answers = peer.makefile("rb")
            for first in range(0, keys, 1000):
                numbers = range(first, min(first + 1000, keys))
                sets = (b"SET key:%012d %s\r\n" % (number, value) for number in numbers)
                peer.sendall(b"".join(sets))
                for _ in numbers:
                    if answers.readline() != b"+OK\r\n":
                        raise RuntimeError("Redis refused a SET")


class NetRpc(Server):
    """The key-value service on Go's net/rpc of `peers/netrpc`."""

    name = "net/rpc"

    def __init__(self):
        if shutil.which("go") is None:
            raise Missing("go is not installed: it is in Debian's package golang-go")
        build = ["go", "build", "-o", str(REPO / NETRPC), "."]
        subprocess.run(build, cwd=REPO / "bench/peers/netrpc", check=True, timeout=300)
        super().__init__([NETRPC, "serve"])
        self.addr = self.said_address()


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say(text):
    """Tells the person at the terminal what is going on."""
    print(text, file=sys.stderr, flush=True)
