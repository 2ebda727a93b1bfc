"""Jobs pushed, handed out and settled, against beanstalkd and NATS JetStream."""

import json
from contextlib import ExitStack

from results import median, ratio, verdict
from servers import (
    NATS_LOAD,
    Beanstalkd,
    DurableWakeful,
    Missing,
    Nats,
    Wakeful,
    await_quiet,
    build_nats_load,
    cpu_busy,
    data_dir,
    filesystem,
    say,
    sync_micros,
)

CONNECTIONS, DEPTH, PAYLOAD_BYTES = 50, 16, 64
# Minimum throughput relative to each peer, in memory and on the disk.
BOUNDS = {
    "memory": {"beanstalkd": 3.0},
    "disk": {"beanstalkd": 5.0, "NATS": 1.5},
}
IDLE_P50_US_MAX = 200.0


class Bench:
    """`wakeful-bench jobs`, against Wakeful or beanstalkd."""

    def __init__(self, name, run, server, wakeful):
        self.name, self.run, self.server, self.wakeful = name, run, server, wakeful

    def command(self, *words):
        peer = "wakeful" if self.server is self.wakeful else "beanstalkd"
        command = self.wakeful.bench_command("jobs", "--peer", peer, *words)
        # It drives Wakeful by default.
        return [self.server.addr if word == self.wakeful.addr else word for word in command]

    def load(self, seconds, batch=1):
        words = ["--connections", CONNECTIONS, "--depth", DEPTH, "--seconds", seconds]
        words += ["--batch", batch, "--payload-bytes", PAYLOAD_BYTES]
        label = f"{self.name} batch {batch}" if batch > 1 else self.name
        return self.call(label, self.command(*words), seconds)

    def idle(self, rounds):
        words = ["--idle", "--rounds", rounds, "--payload-bytes", PAYLOAD_BYTES]
        return self.call(f"{self.name} idle", self.command(*words), 60)

    def call(self, label, command, seconds):
        return json.loads(self.run.call(label, command, seconds * 10 + 60))


class NatsLoad:
    """The load of `peers/nats`, against JetStream."""

    def __init__(self, run, server, storage):
        self.name, self.run, self.server, self.storage = "NATS", run, server, storage

    def load(self, seconds):
        command = [NATS_LOAD, self.server.addr, self.storage, CONNECTIONS, DEPTH]
        command = [str(word) for word in [*command, PAYLOAD_BYTES, seconds]]
        label = f"NATS {self.storage}"
        return json.loads(self.run.call(label, command, seconds * 10 + 60))


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=5, help="how often servers take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one load")
    parser.add_argument("--parts", default="memory,disk,idle", help="what to measure")
    parser.add_argument("--peers", default="beanstalkd,nats", help="against whom")
    parser.add_argument("--batch", type=int, default=16, help="jobs in a request, beside single ones")
    parser.add_argument("--idle-rounds", type=int, default=1_000, help="pushes to an idle system")
    parser.add_argument("--quiet-seconds", type=float, default=60, help="most to wait for quiet")


def run(run, options):
    await_quiet(options.quiet_seconds)
    with data_dir() as data:
        run.write(
            f"Medians of {options.rounds} rounds of {options.seconds:g} s, in which the servers "
            f"took turns; ratios are the medians of the rounds' own. {CONNECTIONS} connections with "
            f"{DEPTH} jobs under way each, payloads of {PAYLOAD_BYTES} bytes, loopback. One write "
            f"with fdatasync takes {sync_micros(data):,.0f} us on this {filesystem(data)}."
        )
        parts = options.parts.split(",")
        for part in ["memory", "disk"]:
            if part in parts:
                cycles(run, options, data, part)
        if "idle" in parts:
            idle(run, options)


def start(running, make, *arguments):
    """Starts a server that runs as long as the others; returns nothing if it is not installed."""
    try:
        return running.enter_context(make(*arguments))
    except Missing as missing:
        say(f"without it: {missing}")
        return None


def drivers(run, options, data, part, running):
    """Returns the drivers, that of Wakeful first."""
    peers = options.peers.split(",")
    on_disk = part == "disk"
    wakeful = DurableWakeful(data / "wakeful") if on_disk else Wakeful()
    running.enter_context(wakeful)
    of = [Bench("Wakeful", run, wakeful, wakeful)]
    if "beanstalkd" in peers:
        log = [data / "beanstalkd"] if on_disk else []
        beanstalkd = start(running, Beanstalkd, *log)
        if beanstalkd:
            of.append(Bench("beanstalkd", run, beanstalkd, wakeful))
    if "nats" in peers:
        try:
            build_nats_load()
            nats = running.enter_context(Nats(data / f"nats-{part}"))
            of.append(NatsLoad(run, nats, "file" if on_disk else "memory"))
        except Missing as missing:
            say(f"without NATS: {missing}")
    return of


def cycles(run, options, data, part):
    """Complete lives of jobs, in memory or on the disk."""
    measured = {}
    with ExitStack() as running:
        taking_turns = drivers(run, options, data, part, running)
        # Not counted: warms everything up.
        for driver in taking_turns:
            driver.load(0.5)
        for round_ in range(options.rounds):
            run.note("cpu busy before a round", share=cpu_busy())
            say(f"round {round_ + 1}/{options.rounds}: jobs, {part}")
            for driver in taking_turns if round_ % 2 == 0 else taking_turns[::-1]:
                measured.setdefault(driver.name, []).append(driver.load(options.seconds))
            batched = taking_turns[0].load(options.seconds, options.batch)
            measured.setdefault(f"Wakeful, {options.batch} in a request", []).append(batched)
    on_disk = (
        "On the disk: Wakeful with its defaults, beanstalkd with `-b DIR -f 0`; JetStream with "
        "files, which it does not sync."
    )
    run.write(f"## {on_disk if part == 'disk' else 'In memory'}")
    rows = [
        [name, *(f"{median(figures(loads, of)):,.0f}" for of in ("per_second", "p50_us", "p99_us"))]
        for name, loads in measured.items()
    ]
    run.table(["", "jobs per second", "p50 us", "p99 us"], rows)
    ours = figures(measured["Wakeful"], "per_second")
    rows = []
    for name in ("beanstalkd", "NATS"):
        if name in measured:
            against = ratio(ours, figures(measured[name], "per_second"))
            bound = BOUNDS[part].get(name)
            rows.append([name, verdict(against, bound, True) if bound else f"{against:.2f}"])
    if rows:
        run.table(["throughput over that of", ""], rows)


def idle(run, options):
    """From a push to the hand-out of the job on an idle server."""
    measured = {}
    with ExitStack() as running:
        wakeful = running.enter_context(Wakeful())
        taking_turns = [Bench("Wakeful", run, wakeful, wakeful)]
        beanstalkd = start(running, Beanstalkd) if "beanstalkd" in options.peers else None
        if beanstalkd:
            taking_turns.append(Bench("beanstalkd", run, beanstalkd, wakeful))
        for round_ in range(options.rounds):
            say(f"round {round_ + 1}/{options.rounds}: an idle system")
            for driver in taking_turns if round_ % 2 == 0 else taking_turns[::-1]:
                measured.setdefault(driver.name, []).append(driver.idle(options.idle_rounds))
    run.write("## From push to start, in memory, when nothing else goes on")
    rows = [
        [name, *(f"{median(figures(loads, of)):,.0f}" for of in ("p50_us", "p99_us"))]
        for name, loads in measured.items()
    ]
    run.table(["", "p50 us", "p99 us"], rows)
    p50 = median(figures(measured["Wakeful"], "p50_us"))
    run.write(f"Wakeful's p50 in microseconds: {verdict(p50, IDLE_P50_US_MAX, False)}.")


def figures(loads, name):
    return [load[name] for load in loads]
