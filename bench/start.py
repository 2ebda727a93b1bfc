"""A million keys: the cost of a snapshot for writers, the duration of a start, and the memory."""

import json
import re
import subprocess
import time

from results import median, ratio, verdict
from servers import (
    REPO,
    DurableWakeful,
    await_quiet,
    cpu_busy,
    data_dir,
    filesystem,
    say,
    sync_micros,
)

KEY_BYTES, VALUE_BYTES = len("key:000000000000"), 64
# name of the load, its options, maximum p99 during a snapshot relative to p99 without
LOADS = [
    ("closed loop on 8 connections", ["--connections", 8]),
    ("2,000 a second on 50 connections, from when due", ["--connections", 50, "--rate", 2_000]),
]
P99_RATIO = 2.0
FROM_SNAPSHOT_SECONDS, FROM_LOG_SECONDS, BYTES_PER_KEY = 2.0, 4.0, 300
# The share of a snapshot's duration that the load beside it takes, so that the load ends first.
PART = 0.7


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--keys", type=int, default=1_000_000, help="how many keys")
    parser.add_argument("--seconds", type=float, default=2.0, help="of sets without a snapshot")
    parser.add_argument("--quiet-seconds", type=float, default=60, help="most to wait for quiet")


def run(run, options):
    await_quiet(options.quiet_seconds)
    with data_dir() as data:
        sync = sync_micros(data)
        run.write(
            f"{options.keys:,} keys of {KEY_BYTES} bytes, values of {VALUE_BYTES}, with fsync on "
            f"{filesystem(data)}, where one fdatasync of 4 KiB over zeros takes {sync:,.0f} us "
            f"(median); medians of {options.rounds} rounds."
        )
        place = len(run.text)
        starts(run, options, data / "start")
        snapshots(run, options, data / "snapshot", data)
    busy = [line["share"] for line in run.raw if line["label"] == "cpu busy before a round"]
    run.text.insert(
        place,
        f"Before each round somebody else used {median(busy):.0%} of the processors (median; at "
        f"most {max(busy):.0%}).",
    )


def starts(run, options, data):
    """Starts from the log and from snapshots, and the memory after each."""
    cases = []
    with DurableWakeful(data) as server:
        fill(run, server, options)
        cases.append(("as filled, running", [], [], [server.rss_bytes()], facts(run, server)))
    cases.append(("from the log alone", *restarts(run, options, data, "log")))
    with DurableWakeful(data) as server:
        backup(run, server, data.parent / "with-history")
    cases.append(("from a snapshot, with history", *restarts(run, options, data, "snapshot")))
    with DurableWakeful(data) as server:
        revision = facts(run, server)["revision"]
        run.call("compact", server.command_line("compact", revision), 60)
        compacted(run, server)
        cases.append(("compacted, running", [], [], [server.rss_bytes()], facts(run, server)))
        backup(run, server, data.parent / "without-history")
    cases.append(("from a snapshot, no history", *restarts(run, options, data, "no history")))
    rows = []
    for case, seconds, cpu, memory, state in cases:
        bytes_per_key = median(memory) / state["keys"] - KEY_BYTES - VALUE_BYTES
        bound = FROM_LOG_SECONDS if "log" in case else FROM_SNAPSHOT_SECONDS
        rows.append(
            [
                case,
                verdict(median(seconds), bound, False) if seconds else "",
                f"{median(cpu):.2f}" if cpu else "",
                verdict(bytes_per_key, BYTES_PER_KEY, False),
                f"{median(memory) / 2**20:,.0f}",
                f"{state['history_events']:,}",
                f"{(state['snapshot_bytes'] + state['log_bytes']) / 2**20:,.0f}",
            ]
        )
    run.write(
        "## Start and memory\n\nSeconds from before the process was made to its `listening on`, files "
        "in the page cache. Memory is all the process has in RAM (VmRSS), divided by the keys, less "
        "the bytes of key and value. History has its defaults (at most 1,000,000 revisions, "
        "512 MiB), and each key is set once: one event of history for each key, which shares key "
        "and value with it; then without any, after `wakeful compact` of everything."
    )
    header = ["", "start, s", "its CPU, s", "bytes a key more", "RSS MiB", "events", "files MiB"]
    run.table(header, rows)


def restarts(run, options, data, label):
    """Returns the seconds of each start, its processor time, the memory after it, and the keys
    present."""
    seconds, cpu, memory, state = [], [], [], None
    for round_ in range(options.rounds):
        say(f"start from {label}, {round_ + 1}/{options.rounds}")
        run.note("cpu busy before a round", share=cpu_busy())
        with DurableWakeful(data) as server:
            seconds.append(server.start_seconds)
            cpu.append(server.cpu_seconds())
            memory.append(server.rss_bytes())
            state = facts(run, server)
        run.note("start", of=label, seconds=seconds[-1], cpu=cpu[-1], rss=memory[-1])
    if state["keys"] != options.keys:
        raise RuntimeError(f"{state['keys']} keys after a start")
    return seconds, cpu, memory, state


def snapshots(run, options, data, scratch):
    """Sets with and without a concurrent snapshot."""
    # rate of sets: reports without and with a snapshot, and the durations of the snapshots
    without, beside, took = ({name: [] for name, _ in LOADS} for _ in range(3))
    outlasted = 0
    with open(scratch / "log", "w+", encoding="utf-8") as log:
        with DurableWakeful(data, log=log) as server:
            fill(run, server, options)
            backup(run, server, scratch / "first")
            first = snapshot_seconds(log)[-1]
            for round_ in range(options.rounds):
                run.note("cpu busy before a round", share=cpu_busy())
                for name, words in LOADS:
                    say(f"round {round_ + 1}/{options.rounds}: sets, {name}")
                    plain = sets(run, server, options, f"sets, {name}", words, options.seconds)
                    without[name].append(plain)
                    seconds = PART * (took[name] or [first])[-1]
                    report = beside_snapshot(run, server, options, name, words, seconds, scratch)
                    beside[name].append(report)
                    took[name].append(snapshot_seconds(log)[-1])
                    run.note("snapshot", load=name, seconds=took[name][-1], load_seconds=seconds)
                    outlasted += seconds > took[name][-1]
    rows = []
    for name, _ in LOADS:
        p99s = ([one["p99_us"] for one in of[name]] for of in (beside, without))
        against = verdict(ratio(*p99s), P99_RATIO, False)
        for case, of in (("without", without), ("during", beside)):
            figures = ["per_second", "p50_us", "p99_us", "max_us"]
            cells = [f"{median([one[key] for one in of[name]]):,.0f}" for key in figures]
            last = [f"{median(took[name]):.2f}", against] if of is beside else ["", ""]
            rows.append([name, case, *cells, *last])
    run.write(
        "## Sets during a snapshot\n\nLatencies in microseconds, of durable sets of the same keys. "
        "The snapshot is asked for by `wakeful backup`, just before the sets begin; they end "
        f"before the snapshot does, but for {outlasted} of {len(LOADS) * options.rounds} times."
    )
    header = ["sets", "snapshot", "per second", "p50", "p99", "max", "it took, s", "p99 ratio"]
    run.table(header, rows)


def beside_snapshot(run, server, options, name, words, seconds, scratch):
    file = scratch / "during"
    command = server.command_line("backup", file)
    run.example("backup", command)
    with subprocess.Popen(
        command, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as asking:
        try:
            # Only on request.
            time.sleep(0.05)
            report = sets(run, server, options, f"sets during a snapshot, {name}", words, seconds)
            if asking.wait(timeout=120) != 0:
                raise RuntimeError("the backup failed")
        finally:
            if asking.poll() is None:
                asking.kill()
    file.unlink()
    return report


def snapshot_seconds(log):
    """Returns the duration of each snapshot, from the server's log."""
    log.flush()
    with open(log.name, encoding="utf-8") as lines:
        text = re.sub(r"\x1b\[[0-9;]*m", "", lines.read())
    took = [int(ms) / 1e3 for ms in re.findall(r"wrote a snapshot .*took_ms=(\d+)", text)]
    if not took:
        raise RuntimeError("the server's log tells of no snapshot")
    return took


def sets(run, server, options, label, words, seconds):
    words = ["--ops", "set", "--keys", options.keys, "--value-bytes", VALUE_BYTES, *words]
    command = server.bench_command(*words, "--seconds", f"{seconds:.3f}")
    return json.loads(run.call(label, command, 120))


def fill(run, server, options):
    say(f"filling {options.keys:,} keys")
    words = ["--fill", "--keys", options.keys, "--value-bytes", VALUE_BYTES, "--requests", 1]
    # The request after the filling is a get, which sets nothing.
    run.call("fill", server.bench_command(*words, "--ops", "get"), 300)


def backup(run, server, file):
    run.call("backup", server.command_line("backup", file), 120)
    file.unlink()


def compacted(run, server):
    """Waits until the history, which is compacted in slices, is gone."""
    deadline = time.monotonic() + 60
    while facts(run, server)["history_events"] > 1:
        if time.monotonic() > deadline:
            raise RuntimeError("the history is still there")
        time.sleep(0.1)


def facts(run, server):
    """Returns the status of a server."""
    return json.loads(run.call("status", server.command_line("status", "--json"), 30))
