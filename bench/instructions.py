#!/usr/bin/env python3
"""Counts the instructions of a request, and compares them with the counts in `instructions.json`.

Time varies from run to run, instruction counts by less than one percent: a change that makes a request
more expensive is seen although the machine is busy. The counts are those of the server under valgrind's
callgrind, in memory, on one connection. Each load runs with two numbers of requests; the difference
leaves out start and stop.

Exits with 1 if a count has risen by more than 3 %, with 3 if the recorded counts are another compiler's.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import native
from servers import REPO, WAKEFUL, Server, say

COUNTS = Path(__file__).resolve().parent / "instructions.json"
FEW, MANY = 2_000, 22_000
KEYS = 1_000
RISE_MAX = 0.03
INCOMPARABLE = 3
START_SECONDS_MAX = 60


def key(number):
    return b"k%07d" % (number % KEYS)


def pipelined(depth, request):
    """Sends `depth` requests at once and waits for their answers."""

    def load(peer, count):
        for first in range(0, count, depth):
            peer.ask(request(number) for number in range(first, first + depth))

    return load


LOADS = {
    "set, 16 at once": pipelined(16, lambda number: native.set_key(key(number), b"x" * 64)),
    "set, one at a time": pipelined(1, lambda number: native.set_key(key(number), b"x" * 64)),
    "get, 16 at once": pipelined(16, lambda number: native.get_key(key(number))),
    "get, one at a time": pipelined(1, lambda number: native.get_key(key(number))),
    "push, 16 at once": pipelined(16, lambda _: native.push_job(b"t", b"x" * 64)),
    "push, one at a time": pipelined(1, lambda _: native.push_job(b"t", b"x" * 64)),
}


def instructions(load, count):
    """Returns the instructions that the server executes from start to end with `count` requests."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "callgrind.log")
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={directory}/out",
            f"--log-file={log}",
            REPO / WAKEFUL,
            *("serve", "--listen", "127.0.0.1:0", "--durability", "memory"),
        ]
        with Server(command) as server:
            peer = native.Connection(server.said_address(START_SECONDS_MAX))
            peer.ask(native.set_key(key(number), b"x" * 64) for number in range(KEYS))
            load(peer, count)
            peer.socket.close()
        found = re.search(r"Collected : (\d+)", log.read_text())
        if not found:
            raise RuntimeError(f"valgrind counted nothing: {log.read_text()}")
        return int(found[1])


def measure():
    counts = {}
    for name, load in LOADS.items():
        say(name)
        counts[name] = round((instructions(load, MANY) - instructions(load, FEW)) / (MANY - FEW))
    return counts


def compiler():
    return subprocess.run(
        ["rustc", "--version"], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the counts to the file")
    options = parser.parse_args()
    if options.update:
        COUNTS.write_text(json.dumps({"rustc": compiler(), **measure()}, indent=2) + "\n")
        return
    recorded = json.loads(COUNTS.read_text())
    if recorded["rustc"] != compiler():
        print(f"The recorded counts are of {recorded['rustc']}, the compiler here is {compiler()}.")
        sys.exit(INCOMPARABLE)
    risen = []
    for name, count in measure().items():
        before = recorded.get(name)
        change = f"{100 * (count / before - 1):+.1f} %" if before else "not recorded"
        print(f"{name}: {count} instructions, recorded {before}, {change}", flush=True)
        if before is None or count > before * (1 + RISE_MAX):
            risen.append(name)
    if risen:
        sys.exit(
            f"risen by more than {RISE_MAX:.0%}: {'; '.join(risen)}. Make them cheaper, or record the new "
            "counts with `bench/instructions.py --update` and say in the commit message why they rose."
        )


if __name__ == "__main__":
    main()
