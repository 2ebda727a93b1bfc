"""Set and get in JSON: Go's jsonrpc client, against Wakeful and against Go's net/rpc server."""

import time
from contextlib import ExitStack

from drivers import KEYS, VALUE_BYTES, GoLoad
from keys import Measured
from results import median, ratio, verdict
from servers import NetRpc, Wakeful, cpu_busy, say

# connections, pipeline, minimum throughput relative to Go's server
SHAPES = [(1, 1, None), (50, 1, None), (50, 16, 2.0)]


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=7, help="how often servers take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one load")
    parser.add_argument("--quiet-seconds", type=float, default=30, help="most to wait each turn")
    parser.add_argument("--shapes", default="1x1,50x1,50x16", help="connections x pipeline")


def run(run, options):
    wanted = options.shapes.split(",")
    shapes = [shape for shape in SHAPES if f"{shape[0]}x{shape[1]}" in wanted]
    measured = {}
    with ExitStack() as running:
        # First, because it also builds the load generator.
        theirs = running.enter_context(NetRpc("json"))
        gob = running.enter_context(NetRpc("gob"))
        ours = running.enter_context(Wakeful())
        taking_turns = [
            GoLoad("Wakeful", run, ours, "json"),
            GoLoad("net/rpc", run, theirs, "json"),
            GoLoad("net/rpc, gob", run, gob, "gob"),
        ]
        for driver in taking_turns:
            driver.fill()
        for round_ in range(options.rounds):
            order = taking_turns if round_ % 2 == 0 else taking_turns[::-1]
            for connections, pipeline, _ in shapes:
                for op in ["set", "get"]:
                    say(f"round {round_ + 1}/{options.rounds}: {op} {connections}x{pipeline}")
                    await_turn(run, options.quiet_seconds)
                    for driver in order:
                        before = driver.server.cpu_seconds()
                        load = driver.load(op, connections, pipeline, options.seconds)
                        cpu = driver.server.cpu_seconds() - before
                        run.note("server cpu", driver=driver.name, cpu_seconds=cpu)
                        key = (driver.name, op, connections, pipeline)
                        measured.setdefault(key, Measured()).add(load, cpu)
    report(run, options, shapes, [driver.name for driver in taking_turns], measured)


def await_turn(run, seconds_max):
    """Waits until no other program uses the processors, which would affect two servers differently:
    Wakeful has one thread, Go as many as there are processors."""
    end = time.monotonic() + seconds_max
    while (share := cpu_busy()) > 0.1 and time.monotonic() < end:
        time.sleep(1)
    run.note("cpu busy before a turn", share=share)


def report(run, options, shapes, names, measured):
    busy = [line["share"] for line in run.raw if line["label"] == "cpu busy before a turn"]
    run.write(
        f"Medians of {options.rounds} rounds of {options.seconds:g} s, in which the servers took "
        f"turns. {KEYS:,} keys drawn at random, values of {VALUE_BYTES} bytes, loopback; "
        '"c x d" is connections x calls under way on each. Wakeful and "net/rpc" are driven by '
        "the same program on Go's own jsonrpc client, by KVStoreService.Set and .Get; "
        '"net/rpc, gob" by Go\'s gob client. Client and server share the machine\'s processors, '
        "and the client takes most of them when the server is quick. Before each turn somebody else "
        f"used {median(busy):.0%} of them (median; at most {max(busy):.0%})."
    )
    rates, cpus, latencies, ratios = [], [], [], []
    for op in ["set", "get"]:
        for connections, pipeline, rate_min in shapes:
            shape = f"{op} {connections} x {pipeline}"
            of = {name: measured[(name, op, connections, pipeline)] for name in names}
            rates.append([shape, *(f"{median(of[name].per_second):,.0f}" for name in names)])
            cpus.append([shape, *(f"{median(of[name].cpu_us):.2f}" for name in names)])
            both = [f"{median(of[n].p50_us):,.0f}, {median(of[n].p99_us):,.0f}" for n in names]
            latencies.append([shape, *both])
            row = [shape]
            for peer in names[1:]:
                rate = ratio(of["Wakeful"].per_second, of[peer].per_second)
                bound = rate_min if peer == "net/rpc" else None
                row.append(verdict(rate, bound, True) if bound else f"{rate:.2f}")
            for peer in names[1:]:
                row.append(f"{ratio(of['Wakeful'].cpu_us, of[peer].cpu_us):.2f}")
            ratios.append(row)
    run.write("## Against Go's net/rpc\n\nMedians of the rounds' own ratios, with the target.")
    peers = [f"throughput over {name}'s" for name in names[1:]]
    peers += [f"server CPU per call over {name}'s" for name in names[1:]]
    run.table(["", *peers], ratios)
    run.write("## Calls per second")
    run.table(["", *names], rates)
    run.write("## Server CPU per call, microseconds")
    run.table(["", *names], cpus)
    run.write("## Latency, microseconds: p50, p99")
    run.table(["", *names], latencies)
