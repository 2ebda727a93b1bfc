"""Load generators of sets and gets: each sends a batch, awaits its replies, and sends the next."""

import csv
import io
import json
from dataclasses import dataclass

from servers import ETCD_LOAD, NETRPC

KEYS = 100_000
VALUE_BYTES = 64
FILL_SECONDS_MAX = 120


@dataclass
class Load:
    """The measurements of one load."""

    requests: int
    per_second: float
    p50_us: float
    p99_us: float


class Driver:
    """One load generator against one server."""

    def __init__(self, name, run, server):
        self.name, self.run, self.server = name, run, server

    def fill(self):
        """Sets every key once."""

    def call(self, op, connections, pipeline, seconds, command):
        label = f"{self.name} {op} {connections}x{pipeline}"
        words = [str(word) for word in command]
        return self.run.call(label, words, seconds * 10 + 60, kind=self.name)


class Bench(Driver):
    """`wakeful-bench`, against Wakeful or Redis."""

    def __init__(self, name, run, server, wakeful):
        super().__init__(name, run, server)
        self.wakeful = wakeful

    def fill(self):
        if self.server is self.wakeful:
            words = ["--fill", "--keys", KEYS, "--value-bytes", VALUE_BYTES, "--requests", 1]
            command = self.wakeful.bench_command(*words)
            self.run.call(f"{self.name} fill", command, FILL_SECONDS_MAX, kind="fill")

    def load(self, op, connections, pipeline, seconds):
        words = ["--ops", op, "--connections", connections, "--pipeline", pipeline]
        words += ["--keys", KEYS, "--value-bytes", VALUE_BYTES, "--seconds", seconds]
        if self.server is not self.wakeful:
            words += ["--redis", self.server.addr]
        command = self.wakeful.bench_command(*words)
        return said(self.call(op, connections, pipeline, seconds, command))


class RedisBenchmark(Driver):
    """redis-benchmark with one thread, its default."""

    # It takes a number of requests, not a time: the last rate determines a sufficient number.
    RATES = {(1, 1): 30_000, (50, 1): 90_000, (50, 16): 400_000, (1, 64): 400_000}

    def __init__(self, name, run, server, rates=None):
        super().__init__(name, run, server)
        self.rates = dict(rates or self.RATES)

    def fill(self):
        self.server.fill(KEYS, VALUE_BYTES)

    def load(self, op, connections, pipeline, seconds):
        shape = (connections, pipeline)
        requests = max(int(self.rates[shape] * seconds), connections * pipeline)
        command = ["redis-benchmark", "-p", self.server.port, "-t", op, "-c", connections]
        command += ["-P", pipeline, "-d", VALUE_BYTES, "-r", KEYS, "-n", requests, "--csv"]
        output = self.call(op, connections, pipeline, seconds, command)
        row = list(csv.DictReader(io.StringIO(output)))[-1]
        self.rates[shape] = per_second = float(row["rps"])
        p50, p99 = (float(row[f"{name}_latency_ms"]) * 1e3 for name in ["p50", "p99"])
        return Load(requests, per_second, p50, p99)


class EtcdLoad(Driver):
    """The load of `peers/etcd`: etcd's client, or Wakeful's, with the same tasks."""

    def __init__(self, name, run, server, connections):
        super().__init__(name, run, server)
        self.connections = connections

    def load(self, op, connections, pipeline, seconds):
        """Runs `connections` tasks, which share fewer connections."""
        kind = self.server.name.lower()
        command = [ETCD_LOAD, kind, self.server.addr, connections, self.connections]
        command += [KEYS, VALUE_BYTES, seconds]
        return said(self.call(op, connections, pipeline, seconds, command))


class GoLoad(Driver):
    """The load of `peers/netrpc`, on Go's own client."""

    def __init__(self, name, run, server, codec="gob"):
        super().__init__(name, run, server)
        self.codec = codec

    def command(self, *words):
        return [NETRPC, "load", "-addr", self.server.addr, "-codec", self.codec, *words]

    def fill(self):
        words = ["-fill", "-keys", KEYS, "-value-bytes", VALUE_BYTES, "-seconds", "0.1"]
        command = self.command(*words)
        words = [str(word) for word in command]
        self.run.call(f"{self.name} fill", words, FILL_SECONDS_MAX, kind=f"fill of {self.name}")

    def load(self, op, connections, pipeline, seconds):
        words = ["-op", op, "-connections", connections, "-pipeline", pipeline]
        words += ["-keys", KEYS, "-value-bytes", VALUE_BYTES, "-seconds", seconds]
        return said(self.call(op, connections, pipeline, seconds, self.command(*words)))


def said(output):
    """Parses the output of `wakeful-bench --json` or of netrpc."""
    report = json.loads(output)
    return Load(*(report[name] for name in ["requests", "per_second", "p50_us", "p99_us"]))
