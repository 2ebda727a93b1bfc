"""Durable sets against Redis and etcd, and the cost of reads beside them."""

import json
import subprocess
from contextlib import ExitStack, contextmanager

import drivers
from results import median, ratio, verdict
from servers import (
    REPO,
    DurableRedis,
    DurableWakeful,
    Etcd,
    Missing,
    Wakeful,
    await_quiet,
    build_etcd_load,
    cpu_busy,
    data_dir,
    filesystem,
    say,
    sync_micros,
)

# connections, pipeline, minimum throughput relative to Redis
SHAPES = [(1, 1, 1.2), (50, 1, 1.5), (50, 16, 2.0)]
# The first rate, from which the number of requests for redis-benchmark is computed: it takes no duration.
RATES = {(1, 1): 500, (50, 1): 5_000, (50, 16): 20_000}
ETCD_TASKS, ETCD_CONNECTIONS, ETCD_RATIO = 50, 4, 10.0
# Number of sets that fill the history, as on a server that has run for a while: from then on, each set
# frees the memory of the oldest revision, and none is requested from the system.
HISTORY = 1_000_000
# Number of keys shared by writers and readers: one get in a thousand reads one of them.
WRITTEN_KEYS = 100
WRITERS, READERS = 50, 8


class Measured:
    """The rounds of one driver with one shape."""

    def __init__(self):
        self.per_second, self.p50_us, self.p99_us = [], [], []

    def add(self, load):
        self.per_second.append(load.per_second)
        self.p50_us.append(load.p50_us)
        self.p99_us.append(load.p99_us)

    def cells(self):
        latencies = [f"{median(of):,.0f}" for of in (self.p50_us, self.p99_us)]
        return [f"{median(self.per_second):,.0f}", *latencies]


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=5, help="how often servers take turns")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one load")
    parser.add_argument("--write-rate", type=int, default=5_000, help="sets a second beside gets")
    parser.add_argument("--parts", default="redis,etcd,reads", help="what to measure")
    parser.add_argument("--quiet-seconds", type=float, default=60, help="most to wait for quiet")


def run(run, options):
    parts = {"redis": against_redis, "etcd": against_etcd, "reads": reads}
    wanted = [parts[name] for name in options.parts.split(",")]
    await_quiet(options.quiet_seconds)
    with data_dir() as data:
        syncs = [sync_micros(data)]
        run.write(
            f"Medians of {options.rounds} rounds of {options.seconds:g} s, in which the servers "
            f"took turns; ratios are the medians of the rounds' own. All on the same "
            f"{filesystem(data)}, {drivers.KEYS:,} keys drawn at random, values of "
            f"{drivers.VALUE_BYTES} bytes, loopback; neither Wakeful nor Redis snapshots "
            "or rewrites its log meanwhile."
        )
        place = len(run.text)
        for part in wanted:
            try:
                part(run, options, data)
            except Missing as missing:
                say(f"without {part.__name__}: {missing}")
            syncs.append(sync_micros(data))
    busy = [line["share"] for line in run.raw if line["label"] == "cpu busy before a round"]
    run.text.insert(
        place,
        "One write of 4 KiB over zeros with fdatasync takes "
        + ", ".join(f"{micros:,.0f}" for micros in syncs)
        + " us (median; before and after each part): less than that no answer to a single durable "
        f"write can take. Before each round somebody else used {median(busy):.0%} of the "
        f"processors (median; at most {max(busy):.0%}).",
    )


def rounds(run, options):
    """Counts rounds, and records the machine's other load before each."""
    for round_ in range(options.rounds):
        run.note("cpu busy before a round", share=cpu_busy())
        yield round_, f"round {round_ + 1}/{options.rounds}"


def against_redis(run, options, data):
    measured = {}
    with ExitStack() as running:
        wakeful = running.enter_context(DurableWakeful(data / "redis-wakeful"))
        redis = running.enter_context(DurableRedis(data / "redis"))
        taking_turns = [
            drivers.Bench("Wakeful", run, wakeful, wakeful),
            drivers.RedisBenchmark("Redis", run, redis, RATES),
            drivers.Bench("Redis (ours)", run, redis, wakeful),
        ]
        for driver in taking_turns[:2]:
            driver.fill()
        say("filling the history")
        words = ["--ops", "set", "--pipeline", 16, "--requests", HISTORY, "--value-bytes"]
        words += [drivers.VALUE_BYTES, "--keys", drivers.KEYS]
        run.call("history", wakeful.bench_command(*words), 120)
        # Not counted: determines the number of requests for redis-benchmark.
        for connections, pipeline, _ in SHAPES:
            taking_turns[1].load("set", connections, pipeline, 0.5)
        for round_, name in rounds(run, options):
            order = taking_turns if round_ % 2 == 0 else taking_turns[::-1]
            for connections, pipeline, _ in SHAPES:
                say(f"{name}: set {connections}x{pipeline}, against Redis")
                for driver in order:
                    load = driver.load("set", connections, pipeline, options.seconds)
                    key = (driver.name, connections, pipeline)
                    measured.setdefault(key, Measured()).add(load)
        run.note("status", of=status(run, wakeful))
    rows, ratios = [], []
    for connections, pipeline, bound in SHAPES:
        shape = f"set {connections} x {pipeline}"
        names = [driver.name for driver in taking_turns]
        of = {name: measured[(name, connections, pipeline)] for name in names}
        rows += [[shape, name, *figures.cells()] for name, figures in of.items()]
        ours = of.pop("Wakeful").per_second
        against = [verdict(ratio(ours, it.per_second), bound, True) for it in of.values()]
        ratios.append([shape, *against])
    run.write(
        "## Against Redis with `appendfsync always`\n\nThroughput over that of Redis, driven by "
        "redis-benchmark and by the generator that also drives Wakeful; latencies in microseconds. "
        f"Wakeful's history is full ({HISTORY:,} revisions) before anything is measured."
    )
    run.table(["throughput", "redis-benchmark", "ours"], ratios)
    run.table(["", "", "per second", "p50", "p99"], rows)


def against_etcd(run, options, data):
    build_etcd_load()
    measured = {}
    with ExitStack() as running:
        wakeful = running.enter_context(DurableWakeful(data / "etcd-wakeful"))
        etcd = running.enter_context(Etcd(data / "etcd"))
        taking_turns = [
            drivers.EtcdLoad(server.name, run, server, ETCD_CONNECTIONS)
            for server in (wakeful, etcd)
        ]
        for driver in taking_turns:
            driver.load("set", ETCD_TASKS, 1, 0.5)
        for round_, name in rounds(run, options):
            say(f"{name}: set, against etcd")
            for driver in taking_turns if round_ % 2 == 0 else taking_turns[::-1]:
                load = driver.load("set", ETCD_TASKS, 1, options.seconds)
                measured.setdefault(driver.name, Measured()).add(load)
    run.write(
        f"## Against etcd\n\nEach through its own client (etcd's is the crate etcd-client), in the "
        f"same program: {ETCD_TASKS} tasks on {ETCD_CONNECTIONS} connections, each puts, awaits "
        "the answer, puts the next."
    )
    against = ratio(measured["Wakeful"].per_second, measured["etcd"].per_second)
    run.write(f"Throughput over that of etcd: {verdict(against, ETCD_RATIO, True)}.")
    rows = [[name, *figures.cells()] for name, figures in measured.items()]
    run.table(["", "per second", "p50", "p99"], rows)


def reads(run, options, data):
    """Gets of keys that are rarely set, while other keys are set durably and in memory."""
    measured, cpu = {}, {}
    with ExitStack() as running:
        durable = running.enter_context(DurableWakeful(data / "reads-wakeful"))
        memory = running.enter_context(Wakeful())
        cases = [
            ("fsync", durable, True),
            ("memory", memory, True),
            ("fsync, nobody writes", durable, False),
            ("memory, nobody writes", memory, False),
        ]
        for server in (durable, memory):
            drivers.Bench("Wakeful", run, server, server).fill()
        for round_, name in rounds(run, options):
            say(f"{name}: gets beside sets")
            for case, server, write in cases if round_ % 2 == 0 else cases[::-1]:
                with writing(run, server, options) if write else ExitStack():
                    load = drivers.Bench(f"gets, {case}", run, server, server)
                    before = server.cpu_seconds()
                    got = load.load("get", READERS, 1, options.seconds)
                    used = (server.cpu_seconds() - before) / options.seconds
                    run.note("server cpu", driver=case, share=used)
                    measured.setdefault(case, Measured()).add(got)
                    cpu.setdefault(case, []).append(used)
    run.write(
        f"## Reads beside durable writes\n\nGets in a closed loop on {READERS} connections, of "
        f"{drivers.KEYS:,} keys, while {WRITERS} connections set {options.write_rate:,} times a "
        f"second: only the first {WRITTEN_KEYS} keys, so that one get in "
        f"{drivers.KEYS // WRITTEN_KEYS:,} can touch what is pending. The writers, too, use the "
        "processors, the same of both as they write at a rate. The processor time of a sync, and "
        "not the wait for it, is in the ratio."
    )
    run.table(
        ["gets beside sets", "per second", "p50", "p99", "server's CPU, cores"],
        [[case, *measured[case].cells(), f"{median(cpu[case]):.2f}"] for case, _, _ in cases],
    )
    rates, p50, p99 = (
        ratio(getattr(measured["fsync"], of), getattr(measured["memory"], of))
        for of in ("per_second", "p50_us", "p99_us")
    )
    run.write(
        f"fsync / memory, beside writers (not slowed: 1): throughput {rates:.2f}, p50 {p50:.2f}, "
        f"p99 {p99:.2f}."
    )


@contextmanager
def writing(run, server, options):
    """Sets at a steady rate, from before to after the measurement beside them."""
    words = ["--ops", "set", "--connections", WRITERS, "--rate", options.write_rate]
    words += ["--keys", WRITTEN_KEYS, "--seconds", options.seconds + 1]
    command = server.bench_command(*words)
    run.example("sets beside gets", command)
    with subprocess.Popen(
        command, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as writers:
        try:
            try:
                writers.wait(timeout=0.5)
                raise RuntimeError("the writers ended at once")
            except subprocess.TimeoutExpired:
                yield
            output, _ = writers.communicate(timeout=options.seconds + 30)
        finally:
            if writers.poll() is None:
                writers.kill()
        run.note("sets beside gets", report=json.loads(output))


def status(run, server):
    """Returns the status of a server."""
    return json.loads(run.call("status", server.command_line("status", "--json"), 30))
