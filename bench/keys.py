"""Set and get: throughput, latency and server CPU, against Redis and Go's net/rpc."""

import csv
import io
import json
from contextlib import ExitStack

from results import median, ratio, verdict
from servers import Missing, NetRpc, Redis, Wakeful, say

KEYS = 100_000
VALUE_BYTES = 64
# connections, pipeline, throughput over Redis's at least, CPU over Redis's at most
SHAPES = [(1, 1, 1.0, None), (50, 1, 1.3, 0.9), (50, 16, 1.5, 0.8), (1, 64, 1.5, 0.8)]
# redis-benchmark takes a number of requests, not a time: where to start.
REDIS_PER_SECOND = {(1, 1): 30_000, (50, 1): 90_000, (50, 16): 400_000, (1, 64): 400_000}


class Measured:
    """The rounds of one server at one operation and shape."""

    def __init__(self):
        self.per_second, self.cpu_us, self.p50_us, self.p99_us = [], [], [], []

    def add(self, requests, per_second, cpu_seconds, p50_us, p99_us):
        self.per_second.append(per_second)
        self.cpu_us.append(cpu_seconds * 1e6 / requests)
        self.p50_us.append(p50_us)
        self.p99_us.append(p99_us)


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=7, help="how often servers take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one load")
    parser.add_argument("--shapes", default="1x1,50x1,50x16,1x64", help="connections x pipeline")
    parser.add_argument("--peers", default="redis,netrpc", help="whom to compare with")


def run(run, options):
    wanted = options.shapes.split(",")
    shapes = [shape for shape in SHAPES if f"{shape[0]}x{shape[1]}" in wanted]
    with ExitStack() as running:
        peers = start(running, options.peers.split(","))
        measured = {}
        redis_rates = dict(REDIS_PER_SECOND)
        for round_ in range(options.rounds):
            for connections, pipeline, _, _ in shapes:
                for op in ["set", "get"]:
                    say(f"round {round_ + 1}/{options.rounds}: {op} {connections}x{pipeline}")
                    # Who goes first changes, so that no one always follows the same one.
                    order = peers if round_ % 2 == 0 else peers[::-1]
                    for peer in order:
                        key = (peer.name, op, connections, pipeline)
                        rounds = measured.setdefault(key, Measured())
                        load(run, peer, key, options.seconds, redis_rates, rounds)
    table(run, shapes, [peer.name for peer in peers], measured)


def start(running, names):
    peers = []
    for name, kind in {"wakeful": Wakeful, "redis": Redis, "netrpc": NetRpc}.items():
        if name != "wakeful" and name not in names:
            continue
        try:
            peer = running.enter_context(kind())
        except Missing as missing:
            if name == "wakeful":
                raise
            say(f"without {name}: {missing}")
            continue
        peers.append(peer)
    for peer in peers:
        if isinstance(peer, Redis):
            peer.fill(KEYS, VALUE_BYTES)
    return peers


def load(run, peer, key, seconds, redis_rates, rounds):
    _, op, connections, pipeline = key
    label = f"{peer.name} {op} {connections}x{pipeline}"
    timeout = seconds * 10 + 60
    if isinstance(peer, Redis):
        shape = (connections, pipeline)
        requests = int(redis_rates[shape] * seconds)
        command = ["redis-benchmark", "-p", str(peer.port), "-t", op, "-c", str(connections)]
        command += ["-P", str(pipeline), "-d", str(VALUE_BYTES), "-r", str(KEYS)]
        command += ["-n", str(requests), "--csv"]
        before = peer.cpu_seconds()
        output = run.call(label, command, timeout)
        cpu = peer.cpu_seconds() - before
        row = list(csv.DictReader(io.StringIO(output)))[-1]
        per_second = float(row["rps"])
        redis_rates[shape] = per_second
        p50, p99 = (float(row[f"{name}_latency_ms"]) * 1e3 for name in ["p50", "p99"])
    else:
        options = ["--connections", connections, "--pipeline", pipeline, "--keys", KEYS]
        options += ["--value-bytes", VALUE_BYTES, "--seconds", seconds]
        if isinstance(peer, Wakeful):
            command = peer.bench_command("--ops", op, *options)
            filling = peer.bench_command("--fill", "--keys", KEYS, "--requests", 1)
        else:
            options = [str(option).replace("--", "-", 1) for option in options]
            command = [peer.command[0], "load", "-addr", peer.addr, "-op", op, *options]
            filling = [peer.command[0], "load", "-addr", peer.addr, "-fill", "-seconds", "0.1"]
        if not getattr(peer, "filled", False):
            run.call(f"{peer.name} fill", filling, 120)
            peer.filled = True
        before = peer.cpu_seconds()
        output = json.loads(run.call(label, command, timeout))
        cpu = peer.cpu_seconds() - before
        requests, per_second = output["requests"], output["per_second"]
        p50, p99 = output["p50_us"], output["p99_us"]
    rounds.add(requests, per_second, cpu, p50, p99)
    run.note("server cpu", server=label, cpu_seconds=cpu, requests=requests)


def table(run, shapes, names, measured):
    rounds = len(next(iter(measured.values())).per_second)
    run.write(
        f"Medians of {rounds} rounds, in which the servers took turns; ratios are medians of the "
        f"rounds' own ratios. {KEYS:,} keys drawn at random, values of {VALUE_BYTES} bytes, "
        "loopback; \"c x d\" is connections x requests sent at once on each. Redis is driven by "
        "redis-benchmark (whose latencies end when the first reply of a batch can be read), the "
        "others by generators of the same scheme (whose latencies end when a reply was read)."
    )
    header = ["", *(f"{name} /s" for name in names), *(f"{name} CPU us/op" for name in names)]
    header += [*(f"{name} p50, p99 us" for name in names)]
    rows, targets = [], []
    for op in ["set", "get"]:
        for connections, pipeline, rate_min, cpu_max in shapes:
            shape = f"{op} {connections} x {pipeline}"
            of = {name: measured[(name, op, connections, pipeline)] for name in names}
            row = [shape, *(f"{median(of[name].per_second):,.0f}" for name in names)]
            row += [f"{median(of[name].cpu_us):.2f}" for name in names]
            row += [f"{median(of[n].p50_us):,.0f}, {median(of[n].p99_us):,.0f}" for n in names]
            rows.append(row)
            if "Redis" in names:
                ours, theirs = of["Wakeful"], of["Redis"]
                rate = ratio(ours.per_second, theirs.per_second)
                cpu = ratio(ours.cpu_us, theirs.cpu_us)
                against = verdict(cpu, cpu_max, False) if cpu_max else f"{cpu:.2f}"
                targets.append([shape, verdict(rate, rate_min, True), against])
    run.table(header, rows)
    if targets:
        run.write("Against Redis:")
        run.table(["", "throughput ratio", "server CPU per operation ratio"], targets)
