"""The servers that are measured, and what the kernel says about them.

Every server is a process started here and stopped here, by its pid.
"""

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
# The path of another binary, to compare two versions.
WAKEFUL = Path(os.environ.get("WAKEFUL", "target/release/wakeful"))
WAKEFUL_BENCH = Path(os.environ.get("WAKEFUL_BENCH", "target/release/wakeful-bench"))
NETRPC = Path("target/bench/netrpc")
ETCD_LOAD = Path("target/bench/etcd/release/etcd-load")
NATS_LOAD = Path("target/bench/nats/release/nats-load")
# Debian installs it in a directory of root's PATH.
NATS_SERVER = shutil.which("nats-server") or "/usr/sbin/nats-server"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 10


class Missing(Exception):
    """A program that a benchmark needs is not installed."""


class Server:
    """A running server."""

    name = "server"

    def __init__(self, command, log=None):
        """Starts the server; its standard error goes to the file `log`."""
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            self.command,
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log or subprocess.DEVNULL,
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

    def said_address(self, seconds_max=START_SECONDS_MAX):
        """Returns the address in its first line, `listening on ADDR`."""
        ready, _, _ = select.select([self.process.stdout], [], [], seconds_max)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("listening on "):
            self.__exit__()
            raise RuntimeError(f"{' '.join(self.command)} did not start: {line!r}")
        return line.split()[-1]

    def cpu_seconds(self):
        """Returns the user and system time of all its threads."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def rss_bytes(self):
        """Returns its memory in RAM (without the buffers of sockets, which are the kernel's)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS in /proc")


class Wakeful(Server):
    """Wakeful with its defaults."""

    name = "Wakeful"

    def __init__(self, *options):
        for binary, package in [(WAKEFUL, "wakeful"), (WAKEFUL_BENCH, "wakeful-bench")]:
            if not (REPO / binary).exists():
                raise Missing(f"{binary} is not built: run `cargo build --release -p {package}`")
        super().__init__(self.serve_command(*options))
        self.addr = self.said_address()

    def serve_command(self, *options):
        """Returns the command line of a server on a free port."""
        memory = [] if "--durability" in options else ["--durability", "memory"]
        return [WAKEFUL, "serve", "--listen", "127.0.0.1:0", *memory, *options]

    @staticmethod
    def words(*words):
        """Returns a command that needs no server."""
        return [str(word) for word in [WAKEFUL, *words]]

    @staticmethod
    def said(*words):
        """Returns the output of such a command, without recording it."""
        command = Wakeful.words(*words)
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return done.stdout

    def command_line(self, *words):
        """Runs a command of Wakeful against this server."""
        return [str(word) for word in [WAKEFUL, *words, "--addr", self.addr]]

    def bench_command(self, *options):
        """Returns the command line of the load generator against this server."""
        words = [WAKEFUL_BENCH, "--addr", self.addr, "--json", *options]
        return [str(word) for word in words]


class DurableWakeful(Wakeful):
    """Wakeful that answers a write when the disk has it, and takes snapshots only on request."""

    def __init__(self, data, *options, log=None, seconds_max=120):
        durable = ["--durability", "fsync", "--data-dir", data]
        limits = ["--limit", "journal.snapshot_log_bytes=64GiB"]
        begun = time.monotonic()
        Server.__init__(self, self.serve_command(*durable, *limits, *options), log)
        self.addr = self.said_address(seconds_max)
        # From before the process is created to its first line, printed once it listens.
        self.start_seconds = time.monotonic() - begun


class Redis(Server):
    """Redis that keeps everything in memory, as Wakeful does here, and writes no file."""

    name = "Redis"
    persistence = ["--save", "", "--appendonly", "no"]

    def __init__(self):
        for program in ["redis-server", "redis-benchmark"]:
            if shutil.which(program) is None:
                raise Missing(f"{program} is not installed: it is in Debian's redis packages")
        self.port = free_port()
        bind = ["--bind", "127.0.0.1", "--port", self.port, "--loglevel", "warning"]
        super().__init__(["redis-server", *bind, *self.persistence])
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
        """Sets every key of redis-benchmark."""
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


class DurableRedis(Redis):
    """Redis that answers a write when the disk has it, and never rewrites its log meanwhile."""

    def __init__(self, data):
        data.mkdir(parents=True)
        log = ["--appendonly", "yes", "--appendfsync", "always"]
        log += ["--auto-aof-rewrite-percentage", "0", "--dir", data]
        self.persistence = ["--save", "", *log]
        super().__init__()


class Etcd(Server):
    """A single etcd with its defaults, which answers a write when the disk has it."""

    name = "etcd"

    def __init__(self, data):
        if shutil.which("etcd") is None:
            raise Missing("etcd is not installed: it is in Debian's package etcd-server")
        clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        command = ["etcd", "--data-dir", data, "--listen-client-urls", clients]
        command += ["--advertise-client-urls", clients, "--listen-peer-urls", peers]
        command += ["--initial-advertise-peer-urls", peers, "--log-level", "error"]
        command += ["--initial-cluster", f"default={peers}"]
        super().__init__(command)
        self.addr = clients.removeprefix("http://")
        self.await_start(f"{clients}/health")

    def await_start(self, url):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    if b"true" in answer.read():
                        return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError("etcd did not start")


def build_etcd_load():
    """Builds the load of `peers/etcd`."""
    build = ["cargo", "build", "--release", "--locked", "--quiet"]
    build += ["--target-dir", str(REPO / "target/bench/etcd")]
    try:
        subprocess.run(build, cwd=REPO / "bench/peers/etcd", check=True, timeout=900)
    except subprocess.CalledProcessError as failed:
        raise Missing("peers/etcd does not build: it needs protobuf-compiler") from failed


class Beanstalkd(Server):
    """beanstalkd, in memory, or with a log that is synced before each answer."""

    name = "beanstalkd"

    def __init__(self, data=None):
        if shutil.which("beanstalkd") is None:
            raise Missing("beanstalkd is not installed: it is in Debian's package beanstalkd")
        port = free_port()
        log = []
        if data is not None:
            data.mkdir()
            log = ["-b", data, "-f", "0"]
        super().__init__(["beanstalkd", "-l", "127.0.0.1", "-p", port, *log])
        self.addr = f"127.0.0.1:{port}"
        await_port(self, port)


class Nats(Server):
    """NATS with JetStream and its defaults, which write files without syncing them."""

    name = "NATS"

    def __init__(self, data):
        if not Path(NATS_SERVER).exists():
            raise Missing("nats-server is not installed: it is in Debian's package nats-server")
        port = free_port()
        super().__init__([NATS_SERVER, "-a", "127.0.0.1", "-p", port, "-js", "-sd", data])
        self.addr = f"127.0.0.1:{port}"
        await_port(self, port)


def await_port(server, port):
    """Waits until a server listens."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    server.__exit__()
    raise RuntimeError(f"{server.name} did not start")


def build_nats_load():
    """Builds the load of `peers/nats`."""
    build = ["cargo", "build", "--release", "--locked", "--quiet"]
    build += ["--target-dir", str(REPO / "target/bench/nats")]
    try:
        subprocess.run(build, cwd=REPO / "bench/peers/nats", check=True, timeout=900)
    except subprocess.CalledProcessError as failed:
        raise Missing("peers/nats does not build") from failed


class NetRpc(Server):
    """The key-value service on Go's net/rpc of `peers/netrpc`."""

    name = "net/rpc"

    def __init__(self, codec="gob"):
        build_netrpc()
        super().__init__([NETRPC, "serve", "-codec", codec])
        self.addr = self.said_address()


def build_netrpc():
    """Builds the server and the load of `peers/netrpc`."""
    if shutil.which("go") is None:
        raise Missing("go is not installed: it is in Debian's package golang-go")
    build = ["go", "build", "-o", str(REPO / NETRPC), "."]
    subprocess.run(build, cwd=REPO / "bench/peers/netrpc", check=True, timeout=300)


@contextmanager
def data_dir():
    """An empty directory on a disk, removed at the end; `BENCH_DATA` selects the disk."""
    chosen = Path(os.environ.get("BENCH_DATA", REPO / "target/bench"))
    chosen.mkdir(parents=True, exist_ok=True)
    kind = filesystem(chosen)
    if kind in ("tmpfs", "ramfs"):
        raise Missing(f"{chosen} is a {kind}: name a directory on a disk with BENCH_DATA")
    with tempfile.TemporaryDirectory(prefix="data-", dir=chosen) as made:
        yield Path(made)


def filesystem(path):
    """Returns the kind of filesystem of `path`."""
    command = ["df", "--output=fstype", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return said.split()[-1]


def sync_micros(data, times=300):
    """Measures how long a disk takes to persist 4 KiB over zeros of a file: median, microseconds."""
    block, taken = bytes(4096), []
    with open(data / "sync", "wb+", buffering=0) as file:
        file.write(bytes(len(block) * times))
        os.fsync(file.fileno())
        for at in range(times):
            begun = time.perf_counter()
            os.pwrite(file.fileno(), block, at * len(block))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    (data / "sync").unlink()
    return sorted(taken)[times // 2] * 1e6


def cpu_busy(seconds=0.5):
    """Returns the share of the processors' time that is in use now."""

    def times():
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        numbers = [int(field) for field in fields]
        return sum(numbers), numbers[3] + numbers[4]

    whole, idle = times()
    time.sleep(seconds)
    whole_after, idle_after = times()
    return 1 - (idle_after - idle) / max(whole_after - whole, 1)


def await_quiet(seconds_max):
    """Waits until no other program works here, but only for a limited time."""
    deadline = time.monotonic() + seconds_max
    while os.getloadavg()[0] >= 1 and time.monotonic() < deadline:
        time.sleep(2)
    say(f"beginning with a load average of {os.getloadavg()[0]:.2f}")


def free_port():
    """Returns a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say(text):
    """Reports progress on the terminal."""
    print(text, file=sys.stderr, flush=True)
