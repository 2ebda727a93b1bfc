"""Set with users and permissions, against the same server without: the cost of checking each
request."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import drivers
from keys import Measured
from results import median, ratio, verdict
from servers import Wakeful, say

KEPT_MIN = 0.9
SHAPES = [(50, 1), (50, 16)]
# As many patterns as a role of a busy application may have; the keys of the load match the last one.
PATTERNS = [f"app-{number}/*" for number in range(50)] + ["key:*"]


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=7, help="how often servers take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one load")


class Guarded(Wakeful):
    """Wakeful with users, whose load generator logs in with the token of a user who is no
    administrator."""

    def __init__(self, run, directory):
        users, self.token = directory / "users.toml", directory / "token"
        grants = [word for on in PATTERNS for word in ("--read", on, "--write", on)]
        made = "role", "add", "app", *grants, "--auth", users
        run.call("role", self.words(*made), 30)
        run.call("user", self.words("user", "add", "app", "--no-password", "--role", "app",
                                    "--auth", users), 30)
        # Not through `call`, which records the output.
        self.token.write_text(self.said("user", "token", "app", "--auth", users))
        self.token.chmod(0o600)
        super().__init__("--auth", users)

    def bench_command(self, *options):
        return [*super().bench_command(*options), "--token", str(self.token)]


def run(run, options):
    measured = {}
    with ExitStack() as running:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory()))
        open_ = running.enter_context(Wakeful())
        guarded = running.enter_context(Guarded(run, directory))
        taking_turns = [
            drivers.Bench("without users", run, open_, open_),
            drivers.Bench("with users", run, guarded, guarded),
        ]
        for driver in taking_turns:
            driver.fill()
        for round_ in range(options.rounds):
            order = taking_turns if round_ % 2 == 0 else taking_turns[::-1]
            for connections, pipeline in SHAPES:
                for op in ["set", "get"]:
                    say(f"round {round_ + 1}/{options.rounds}: {op} {connections}x{pipeline}")
                    for driver in order:
                        before = driver.server.cpu_seconds()
                        load = driver.load(op, connections, pipeline, options.seconds)
                        cpu = driver.server.cpu_seconds() - before
                        key = (driver.name, op, connections, pipeline)
                        measured.setdefault(key, Measured()).add(load, cpu)
    report(run, options, measured)


def report(run, options, measured):
    run.write(
        f"Medians of {options.rounds} rounds of {options.seconds:g} s, in which the servers took "
        f"turns. The user has a role with {len(PATTERNS)} patterns to read and as many to write, of "
        "which the keys of the load match one."
    )
    rows = []
    for connections, pipeline in SHAPES:
        for op in ["set", "get"]:
            without, with_ = (
                measured[(name, op, connections, pipeline)]
                for name in ("without users", "with users")
            )
            kept = ratio(with_.per_second, without.per_second)
            aim = (op, connections, pipeline) == ("set", 50, 16)
            rows.append([
                f"{op} {connections} x {pipeline}",
                f"{median(without.per_second):,.0f}",
                f"{median(with_.per_second):,.0f}",
                verdict(kept, KEPT_MIN, True) if aim else f"{kept:.2f}",
                f"{ratio(with_.cpu_us, without.cpu_us):.2f}",
            ])
    header = ["without, per second", "with, per second", "throughput kept", "CPU per operation"]
    run.table(["", *header], rows)
