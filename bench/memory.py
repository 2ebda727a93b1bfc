"""The memory of waits, watches and idle connections."""

import json
import subprocess
import time

from results import verdict
from servers import REPO, Wakeful, say

# name of a unit, kind, (watchers, connections) of the smaller run, of the larger run, maximum bytes
CASES = [
    ("parked wait", "wait", (50, 50), (1_000_000, 50), 1_200),
    ("further watch id on a stream", "watch", (20, 20), (1_000_000, 20), 300),
    ("idle connection with one watch", "watch", (10, 10), (10_000, 10_000), 10_000),
]


def add_arguments(parser):
    parser.add_argument("--scale", type=float, default=1.0, help="of the larger numbers")


def run(run, options):
    rows = []
    for name, how, fewer, more, bytes_max in CASES:
        watchers = max(int(more[0] * options.scale), fewer[0] + 1)
        connections = watchers if more[0] == more[1] else more[1]
        say(f"{name}: {watchers:,} on {connections:,} connections")
        with Wakeful() as server:
            empty = server.rss_bytes()
            small, _ = parked(run, server, name, how, *fewer)
            large, left = parked(run, server, name, how, watchers, connections)
        each = (large - small) / (watchers - fewer[0])
        run.note("memory", case=name, empty=empty, small=small, large=large, left=left)
        against = verdict(each, bytes_max, False)
        sizes = [f"{size / 2**20:,.1f}" for size in (small, large, left)]
        rows.append([name, f"{watchers:,}", *sizes, against])
    run.write(
        "Resident memory of the server, MiB, with few and with many watchers, each of a key of its "
        "own (17 bytes), and after they are gone; and the difference in bytes for each one more. "
        "What the kernel holds for sockets is not in it."
    )
    header = ["one more", "watchers", "few MiB", "many MiB", "afterwards MiB", "bytes each"]
    run.table(header, rows)


def parked(run, server, name, how, watchers, connections):
    """Returns the RSS while this number of watchers is parked, and after they are gone."""
    words = ["--park", watchers, "--connections", connections, "--as", how]
    command = server.bench_command(*words)
    run.example(name, command)
    with subprocess.Popen(
        command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        # The first line reports that all are in place; the process stays until its stdin closes.
        line = holder.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command)} parked nothing")
        run.note("parked", case=name, report=json.loads(line))
        time.sleep(1)
        held = server.rss_bytes()
        holder.stdin.close()
        holder.wait(timeout=60)
    time.sleep(1)
    return held, server.rss_bytes()
