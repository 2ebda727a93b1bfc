"""Set and get: throughput, latency and server CPU, against Redis and Go's net/rpc."""

from contextlib import ExitStack

import drivers
from results import median, ratio, verdict
from servers import Missing, NetRpc, Redis, Wakeful, say

# connections, pipeline, minimum throughput and maximum CPU relative to Redis
SHAPES = [(1, 1, 1.0, None), (50, 1, 1.3, 0.9), (50, 16, 1.5, 0.8), (1, 64, 1.5, 0.8)]


class Measured:
    """The rounds of one driver with one operation and shape."""

    def __init__(self):
        self.per_second, self.cpu_us, self.p50_us, self.p99_us = [], [], [], []

    def add(self, load, cpu_seconds):
        self.per_second.append(load.per_second)
        self.cpu_us.append(cpu_seconds * 1e6 / load.requests)
        self.p50_us.append(load.p50_us)
        self.p99_us.append(load.p99_us)


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=7, help="how often servers take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one load")
    parser.add_argument("--shapes", default="1x1,50x1,50x16,1x64", help="connections x pipeline")
    parser.add_argument("--peers", default="redis,netrpc", help="whom to compare with")


def run(run, options):
    wanted = options.shapes.split(",")
    shapes = [shape for shape in SHAPES if f"{shape[0]}x{shape[1]}" in wanted]
    measured = {}
    with ExitStack() as running:
        taking_turns = start(run, running, options.peers.split(","))
        for round_ in range(options.rounds):
            # The order changes, so that no driver always follows the same one.
            order = taking_turns if round_ % 2 == 0 else taking_turns[::-1]
            for connections, pipeline, _, _ in shapes:
                for op in ["set", "get"]:
                    say(f"round {round_ + 1}/{options.rounds}: {op} {connections}x{pipeline}")
                    for driver in order:
                        before = driver.server.cpu_seconds()
                        load = driver.load(op, connections, pipeline, options.seconds)
                        cpu = driver.server.cpu_seconds() - before
                        run.note("server cpu", driver=driver.name, cpu_seconds=cpu)
                        key = (driver.name, op, connections, pipeline)
                        measured.setdefault(key, Measured()).add(load, cpu)
    report(run, options, shapes, [driver.name for driver in taking_turns], measured)


def start(run, running, peers):
    """Starts the servers, fills them with keys, and returns their drivers."""
    wakeful = running.enter_context(Wakeful())
    taking_turns = [drivers.Bench("Wakeful", run, wakeful, wakeful)]
    for name, kind in {"redis": Redis, "netrpc": NetRpc}.items():
        if name not in peers:
            continue
        try:
            server = running.enter_context(kind())
        except Missing as missing:
            say(f"without {name}: {missing}")
            continue
        if name == "redis":
            taking_turns.append(drivers.RedisBenchmark("Redis", run, server))
            taking_turns.append(drivers.Bench("Redis (ours)", run, server, wakeful))
        else:
            taking_turns.append(drivers.GoLoad("net/rpc", run, server))
    for driver in taking_turns:
        driver.fill()
    return taking_turns


def report(run, options, shapes, names, measured):
    run.write(
        f"Medians of {options.rounds} rounds of {options.seconds:g} s, in which the servers took "
        f"turns. {drivers.KEYS:,} keys drawn at random, values of {drivers.VALUE_BYTES} bytes, "
        'loopback; "c x d" is connections x requests sent at once on each. "Redis" is driven by '
        'redis-benchmark, whose latencies end when the first reply of a batch can be read; "Redis '
        '(ours)" by the generator that also drives Wakeful, whose latencies end when the reply '
        "itself was read."
    )
    rates, cpus, latencies, ratios = [], [], [], []
    for op in ["set", "get"]:
        for connections, pipeline, rate_min, cpu_max in shapes:
            shape = f"{op} {connections} x {pipeline}"
            of = {name: measured[(name, op, connections, pipeline)] for name in names}
            rates.append([shape, *(f"{median(of[name].per_second):,.0f}" for name in names)])
            cpus.append([shape, *(f"{median(of[name].cpu_us):.2f}" for name in names)])
            both = [f"{median(of[n].p50_us):,.0f}, {median(of[n].p99_us):,.0f}" for n in names]
            latencies.append([shape, *both])
            if "Redis" in names:
                ours = of["Wakeful"]
                row = [shape]
                for theirs in (of["Redis"], of["Redis (ours)"]):
                    rate = ratio(ours.per_second, theirs.per_second)
                    row.append(verdict(rate, rate_min, True))
                for theirs in (of["Redis"], of["Redis (ours)"]):
                    cpu = ratio(ours.cpu_us, theirs.cpu_us)
                    row.append(verdict(cpu, cpu_max, False) if cpu_max else f"{cpu:.2f}")
                ratios.append(row)
    if ratios:
        run.write("## Against Redis\n\nMedians of the rounds' own ratios, with their targets.")
        header = ["throughput: redis-benchmark", "ours", "CPU/op: redis-benchmark", "ours"]
        run.table(["", *header], ratios)
    run.write("## Operations per second")
    run.table(["", *names], rates)
    run.write("## Server CPU per operation, microseconds")
    run.table(["", *names], cpus)
    run.write("## Latency, microseconds: p50, p99")
    run.table(["", *names], latencies)
