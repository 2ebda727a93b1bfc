#!/usr/bin/env python3
"""Runs a benchmark of Wakeful and its peers on this machine; see README.md beside it."""

import argparse
import resource
import subprocess
import sys

import build
import durable
import fanout
import jobs
import jsonrpc
import keys
import lag
import leases
import login
import memory
import start
import turns
import unread
from results import Run
from servers import Missing, say

BENCHMARKS = {
    "keys": keys,
    "fanout": fanout,
    "memory": memory,
    "lag": lag,
    "leases": leases,
    "durable": durable,
    "start": start,
    "jobs": jobs,
    "json": jsonrpc,
    "login": login,
    "turns": turns,
    "unread": unread,
    "build": build,
}
OPEN_FILES = 65_536


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name, benchmark in BENCHMARKS.items():
        command = commands.add_parser(name, help=benchmark.__doc__)
        benchmark.add_arguments(command)
    options = parser.parse_args()
    raise_open_files()
    run = Run(options.benchmark, sys.argv[2:])
    try:
        BENCHMARKS[options.benchmark].run(run, options)
    except (Missing, RuntimeError, subprocess.TimeoutExpired) as failed:
        sys.exit(str(failed))
    run.finish()


def raise_open_files():
    """Servers and generators inherit the limit: 10,000 connections need 10,000 files on each side."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in [(OPEN_FILES, max(hard, OPEN_FILES)), (min(hard, OPEN_FILES), hard)]:
        if soft >= limits[0]:
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            return
        except (ValueError, OSError):
            continue
    say(f"open files stay limited to {soft}: run `ulimit -n {OPEN_FILES}` first if it fails")


if __name__ == "__main__":
    main()
