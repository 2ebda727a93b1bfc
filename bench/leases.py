"""A million leases that end at the same time."""

import json
import subprocess
import time

from results import median
from servers import REPO, Wakeful, say

# Time from the start of the load to the end of the leases.
LEAD_SECONDS = 0.5


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=3, help="how often it is done")
    parser.add_argument("--leases", type=int, default=1_000_000, help="how many leases")
    parser.add_argument("--ttl-seconds", type=float, default=20.0, help="time to make them in")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one load")
    parser.add_argument("--rate", type=int, default=10_000, help="sets per second")


def run(run, options):
    alone, beside, ended = [], [], []
    for round_ in range(options.rounds):
        say(f"round {round_ + 1}/{options.rounds}")
        with Wakeful() as server:
            alone.append(load(run, server, "set alone", options))
            words = ["--leases", options.leases, "--ttl-seconds", options.ttl_seconds]
            command = server.bench_command(*words)
            run.example("leases", command)
            with subprocess.Popen(
                command, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
            ) as leases:
                time.sleep(options.ttl_seconds - LEAD_SECONDS)
                beside.append(load(run, server, "set while leases end", options))
                output, _ = leases.communicate(timeout=120)
            if leases.returncode != 0:
                raise RuntimeError(f"{' '.join(command)} failed")
            report = json.loads(output)
            if not report["made_in_time"]:
                raise RuntimeError("--ttl-seconds is too short to make the leases in")
            run.note("leases", report=report)
            ended.append(report)
    run.write(
        f"{options.leases:,} keys, each with a lease of its own, all of which end at the same "
        f"moment; median of {options.rounds} rounds. Lateness is from that moment to when the "
        "server says that one, and that all, have ended."
    )
    names = ["granting_ms", "first_late_ms", "last_late_ms"]
    rows = [[f"{median([of[name] for of in ended]):,.0f}" for name in names]]
    run.table(["made in ms", "first ended after ms", "last ended after ms"], rows)
    run.write(
        f"Latency of set meanwhile, microseconds, at {options.rate:,} per second on 50 "
        f"connections, from when each was due, over {options.seconds:g} s that begin "
        f"{LEAD_SECONDS:g} s before that moment:"
    )
    figures = ["p50_us", "p99_us", "p999_us", "max_us"]
    rows = []
    for name, of in [("alone", alone), ("while they end", beside)]:
        rows.append([name, *(f"{median([one[key] for one in of]):,.0f}" for key in figures)])
    run.table(["", "p50", "p99", "p99.9", "max"], rows)


def load(run, server, name, options):
    words = ["--ops", "set", "--rate", options.rate, "--seconds", options.seconds]
    return json.loads(run.call(name, server.bench_command(*words), 120, "set"))
