"""Compile times of Wakeful against an earlier commit, and the size of its binary."""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from results import median, ratio
from servers import REPO, await_quiet, say

# One file of each module, present in both commits.
CHANGED = {
    "store": "src/store/state.rs",
    "queue": "src/queue/state.rs",
    "rpc": "src/rpc/frame.rs",
}
BUILD_SECONDS_MAX = 3600
CRATES = {
    "everything (default)": [],
    "without default features": ["--no-default-features"],
    "only the client": ["--no-default-features", "--features", "client"],
}


def add_arguments(parser):
    parser.add_argument("--before", required=True, help="the commit to compare with")
    parser.add_argument("--after", default="HEAD", help="the commit that is measured")
    parser.add_argument("--builds", type=int, default=3, help="builds from nothing of each")
    parser.add_argument("--rounds", type=int, default=5, help="checks of each changed file")
    parser.add_argument(
        "--sizes", action="store_true", help="also build the profiles release and dist (about 10 minutes)"
    )
    parser.add_argument("--quiet-seconds", type=float, default=60, help="most to wait for quiet")


def run(run, options):
    # The profiles of Cargo.toml are measured.
    for name in [name for name in os.environ if name.startswith("CARGO_PROFILE_")]:
        del os.environ[name]
    place = Path(tempfile.mkdtemp(prefix="wakeful-build-"))
    try:
        sides = {
            name: Checkout(run, name, commit, place / name)
            for name, commit in [("before", options.before), ("after", options.after)]
        }
        await_quiet(options.quiet_seconds)
        crates(run, sides)
        from_nothing(run, sides, options.builds)
        after_a_change(run, sides, options.rounds)
        if options.sizes:
            sizes(run, sides)
    finally:
        shutil.rmtree(place)


class Checkout:
    """The files of a commit, with a target directory of their own."""

    def __init__(self, run, name, commit, place):
        self.run = run
        self.name = name
        self.commit = git("rev-parse", "--short", commit).decode().strip()
        self.source = place / "source"
        self.target = place / "target"
        with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as files:
            files.extractall(self.source)
        self.cargo("fetch", kind="fetch")

    def cargo(self, command, *words, kind):
        """Runs cargo; returns its duration in seconds."""
        manifest = ["--locked", "--quiet", "--manifest-path", self.source / "Cargo.toml"]
        if command != "fetch":
            manifest += ["--target-dir", self.target]
        label = f"{kind}, {self.name} ({self.commit})"
        say(label)
        began = time.monotonic()
        self.run.call(label, ["cargo", command, *manifest, *words], BUILD_SECONDS_MAX, kind)
        seconds = time.monotonic() - began
        self.run.note("seconds", of=label, seconds=round(seconds, 2))
        return seconds

    def crates(self, words):
        """Returns the number of crates that cargo compiles; `None` if the commit has no such
        feature."""
        tree = ["cargo", "tree", "--locked", "-e", "normal", "--prefix", "none"]
        tree += ["--manifest-path", self.source / "Cargo.toml", "--format", "{p}", *words]
        done = subprocess.run(tree, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            return None
        names = {line.split(" (")[0] for line in done.stdout.splitlines() if line}
        self.run.note("crates", of=self.name, features=words, names=sorted(names))
        return len(names)

    def change(self, file, number):
        """Inserts a line before the first import of `file`, or changes it, so that all later lines
        move."""
        path = self.source / file
        lines = [line for line in path.read_text().splitlines() if not line.startswith("const _: u32")]
        at = next(at for at, line in enumerate(lines) if line.startswith("use "))
        lines.insert(at, f"const _: u32 = {number};")
        path.write_text("\n".join(lines) + "\n")

    def binary(self, profile):
        """Builds the binary with `profile`; returns its size in bytes."""
        self.cargo("build", "--profile", profile, kind=f"build --profile {profile}")
        return (self.target / profile / "wakeful").stat().st_size


def git(*words):
    return subprocess.run(["git", *words], cwd=REPO, check=True, capture_output=True).stdout


def crates(run, sides):
    rows = []
    for features, words in CRATES.items():
        counts = [side.crates(words) for side in sides.values()]
        rows.append([features, *("no such feature" if it is None else it for it in counts)])
    run.write("Crates that are compiled, Wakeful included:")
    run.table(["features", *titles(sides)], rows)


def from_nothing(run, sides, builds):
    taken = {name: [] for name in sides}
    for round_ in range(builds):
        for name in in_turn(sides, round_):
            shutil.rmtree(sides[name].target, ignore_errors=True)
            taken[name].append(sides[name].cargo("build", kind="build from nothing"))
    run.write(
        f"Seconds of `cargo build`, default features, without a target directory, dependencies "
        f"downloaded; median of {builds}, the two in turn:"
    )
    run.table(["", *titles(sides), "after / before"], [row("from nothing", taken)])


def after_a_change(run, sides, rounds):
    for side in sides.values():
        side.cargo("check", kind="check from nothing")
    taken = {module: {name: [] for name in sides} for module in CHANGED}
    for round_ in range(rounds):
        for module, file in CHANGED.items():
            for name in in_turn(sides, round_):
                sides[name].change(file, round_ + 1)
                seconds = sides[name].cargo("check", kind=f"check, a line of {module} changed")
                taken[module][name].append(seconds)
    run.write(
        f"Seconds of `cargo check`, default features, after one line near the top of a file has "
        f"changed; median of {rounds}, the two in turn:"
    )
    rows = [row(f"`{file}`", taken[module]) for module, file in CHANGED.items()]
    run.table(["changed", *titles(sides), "after / before"], rows)


def sizes(run, sides):
    after = sides["after"]
    kept, stripped = after.binary("release"), after.binary("dist")
    run.write("Bytes of the binary `wakeful`:")
    rows = [
        ["release (line tables and symbols)", f"{kept:,}"],
        ["dist (stripped)", f"{stripped:,}"],
        ["dist / release", f"{stripped / kept:.2f}"],
    ]
    run.table(["profile", f"after ({after.commit})"], rows)


def titles(sides):
    return [f"{name} ({side.commit})" for name, side in sides.items()]


def in_turn(sides, round_):
    names = list(sides)
    return names if round_ % 2 == 0 else names[::-1]


def row(name, taken):
    medians = [f"{median(taken[side]):.1f}" for side in ("before", "after")]
    return [name, *medians, f"{ratio(taken['after'], taken['before']):.2f}"]
