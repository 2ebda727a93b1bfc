"""The cost for writers of a watcher that is far behind and does not read."""

import json
import subprocess

from results import median, ratio, verdict
from servers import REPO, Wakeful, say

# The window of a lagging watcher: small, so that the server waits for its credit; and larger than
# socket buffers, so that the server waits for its socket.
LAGGARDS = [("none", None), ("no credit", 64 * 1024), ("full socket", 256 * 1024 * 1024)]


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=7, help="how often both take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one load")
    parser.add_argument("--rate", type=int, default=10_000, help="sets per second")
    parser.add_argument("--behind", type=int, default=500_000, help="revisions behind")


def run(run, options):
    measured = {name: {"p50": [], "p99": [], "max": [], "cpu": []} for name, _ in LAGGARDS}
    with Wakeful() as server:
        words = ["--ops", "set", "--pipeline", 16, "--requests", options.behind]
        run.call("history", server.bench_command(*words), 120)
        for round_ in range(options.rounds):
            for name, window in LAGGARDS if round_ % 2 == 0 else LAGGARDS[::-1]:
                say(f"round {round_ + 1}/{options.rounds}: laggard: {name}")
                if window is None:
                    report = load(run, server, name, options)
                else:
                    report = beside(run, server, name, window, options)
                for figure, of in measured[name].items():
                    of.append(report[f"{figure}_us"])
    run.write(
        f"Latency of set, microseconds, at {options.rate:,} sets per second on 50 connections, "
        f"from when each was due; median of {options.rounds} rounds of {options.seconds:g} s that "
        f"took turns. The watcher starts {options.behind:,} revisions ago, watches every key, and "
        "never reads: it gives no credit, or a window larger than what its socket holds. CPU is "
        "the server's, microseconds per set."
    )
    rows = []
    for name, of in measured.items():
        against = ""
        if name != "none":
            against = verdict(ratio(of["p99"], measured["none"]["p99"]), 1.1, False)
        rows.append([name, *(f"{median(figures):,.1f}" for figures in of.values()), against])
    run.table(["lagging watcher", "p50", "p99", "max", "CPU", "p99 ratio"], rows)


def load(run, server, name, options):
    words = ["--ops", "set", "--rate", options.rate, "--seconds", options.seconds]
    before = server.cpu_seconds()
    report = json.loads(run.call(f"set, laggard: {name}", server.bench_command(*words), 120, "set"))
    report["cpu_us"] = (server.cpu_seconds() - before) * 1e6 / report["requests"]
    return report


def beside(run, server, name, window, options):
    """Runs the same load while a lagging watcher is connected."""
    words = ["--lagging-watcher", "--behind", options.behind, "--window-bytes", window]
    command = server.bench_command(*words)
    run.example(f"laggard: {name}", command)
    with subprocess.Popen(
        command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as laggard:
        try:
            line = laggard.stdout.readline()
            if not line:
                raise RuntimeError("the lagging watcher was refused")
            run.note("laggard", report=json.loads(line))
            return load(run, server, name, options)
        finally:
            laggard.stdin.close()
            laggard.wait(timeout=30)
