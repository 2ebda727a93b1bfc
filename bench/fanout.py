"""One set to many watchers, against Redis pub/sub received by the same code."""

import json
from contextlib import ExitStack

from results import median, ratio, verdict
from servers import Missing, Redis, Wakeful, say

# name, watchers, connections, kind
CASES = [
    ("10,000 waits on 10 connections", 10_000, 10, "wait"),
    ("10,000 watch ids on 10 connections", 10_000, 10, "watch"),
    ("1 wait on each of 1,000 connections", 1_000, 1_000, "wait"),
    ("1 watch on each of 1,000 connections", 1_000, 1_000, "watch"),
    ("Redis PUBLISH to 1,000 connections", 1_000, 1_000, "redis"),
]


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=5, help="how often servers take turns")
    parser.add_argument("--events", type=int, default=100, help="events of one case in one round")


def run(run, options):
    taken, first, cpu = {}, {}, {}
    with ExitStack() as running:
        wakeful = running.enter_context(Wakeful())
        cases = CASES
        try:
            redis = running.enter_context(Redis())
        except Missing as missing:
            say(f"without redis: {missing}")
            redis, cases = None, CASES[:-1]
        for round_ in range(options.rounds):
            for name, watchers, connections, how in cases if round_ % 2 == 0 else cases[::-1]:
                say(f"round {round_ + 1}/{options.rounds}: {name}")
                words = ["--fan-out", "--connections", connections, "--rounds", options.events]
                if how == "redis":
                    server = redis
                    words += ["--redis", redis.addr]
                else:
                    server = wakeful
                    words += ["--watchers", watchers, "--as", how]
                before = server.cpu_seconds()
                report = json.loads(run.call(name, wakeful.bench_command(*words), 300))
                spent = server.cpu_seconds() - before
                run.note("server cpu", case=name, cpu_seconds=spent)
                taken.setdefault(name, []).append(report["p50_us"] / 1e3)
                first.setdefault(name, []).append(report["first_p50_us"] / 1e3)
                events = watchers * (options.events + 1)
                cpu.setdefault(name, []).append(spent * 1e6 / events)
    run.write(
        f"Milliseconds from before the set is written until every watcher has its event: median of "
        f"{options.rounds} rounds, each the p50 of {options.events} events of 64 bytes. One thread "
        "receives for all connections. The server CPU includes putting the watchers in place: "
        "before each event for waits, once for watches."
    )
    rows = []
    for name, _, connections, how in cases:
        against = ""
        if connections == 10:
            against = verdict(median(taken[name]), 4, False) + " ms"
        elif how != "redis" and redis:
            against = verdict(ratio(taken[name], taken[CASES[-1][0]]), 1, False) + " x Redis"
        figures = [f"{median(of[name]):.2f}" for of in (taken, first, cpu)]
        rows.append([name, *figures, against])
    run.table(["", "last ms", "first ms", "server CPU us/event", "target"], rows)
