"""What is kept of a run: conditions, tables, and the raw output of every command."""

import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
from pathlib import Path

import servers

RESULTS = servers.REPO / "bench/results"


class Run:
    """One run of one benchmark."""

    def __init__(self, name, arguments):
        self.name = name
        self.arguments = arguments
        self.began = datetime.datetime.now(datetime.timezone.utc)
        self.raw = []
        self.text = []
        self.commands = {}

    def example(self, kind, command):
        """Shows `command` in the report, if it is the first of its kind."""
        self.commands.setdefault(kind, shown(command))

    def call(self, label, command, timeout, kind=None):
        """Runs `command` to its end; gives its output, and keeps it."""
        self.example(kind or label, command)
        done = subprocess.run(
            command,
            cwd=servers.REPO,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        output = done.stdout.strip()
        if done.returncode != 0:
            raise RuntimeError(f"{shlex.join(command)}\n{output}\n{done.stderr.strip()}")
        self.raw.append({"label": label, "command": shown(command), "output": output})
        return output

    def note(self, label, **facts):
        """Keeps something measured without a command of its own."""
        self.raw.append({"label": label, **facts})

    def write(self, text):
        """Adds to the report."""
        self.text.append(text)

    def table(self, header, rows):
        """Adds a table to the report."""
        lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
        lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
        self.write("\n".join(lines))

    def finish(self):
        """Prints the report, and writes it and the raw output to `bench/results/`."""
        commands = [f"{label}: `{command}`" for label, command in self.commands.items()]
        parts = [
            f"# {self.name}",
            conditions(self.began, self.name, self.arguments),
            *self.text,
            "The first command of each kind (addresses and numbers differ from run to run):",
            "\n".join(f"- {line}" for line in commands),
        ]
        # Where it is checked out tells nothing.
        here = f"{servers.REPO}/"
        report = ("\n\n".join(parts) + "\n").replace(here, "")
        stem = f"{self.began:%Y-%m-%dT%H%M%S}-{self.name}"
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{stem}.md").write_text(report)
        raw = "".join(json.dumps(line) + "\n" for line in self.raw)
        (RESULTS / f"{stem}.jsonl").write_text(raw.replace(here, ""))
        print(report)
        servers.say(f"kept in bench/results/{stem}.md and .jsonl")


def conditions(began, name, arguments):
    """Where and of what a run was made, as a list."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load1, _, _ = os.getloadavg()
    facts = {
        "date": f"{began:%Y-%m-%d %H:%M} UTC",
        "command": f"bench/run.py {name} {shlex.join(arguments)}".strip(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "load average at the end": f"{load1:.2f}",
        "wakeful": version(["git", "describe", "--always", "--dirty"]),
        "rustc": version(["rustc", "--version"]),
        "redis": version(["redis-server", "--version"]),
        "go": version(["go", "version"]),
        "etcd": version(["etcd", "--version"]),
        "beanstalkd": version(["beanstalkd", "-v"]),
        "nats-server": version([servers.NATS_SERVER, "--version"]),
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def processor():
    """What the kernel calls the processor."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


def shown(command):
    """`command` without where a binary lies on this machine."""
    program, *words = [str(word) for word in command]
    return shlex.join([Path(program).name if Path(program).is_absolute() else program, *words])


def version(command):
    """First line of what a program says of itself."""
    try:
        said = subprocess.run(
            command, cwd=servers.REPO, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "not here"
    return said.stdout.strip().splitlines()[0]


def median(numbers):
    """The median."""
    return statistics.median(numbers)


def ratio(above, below):
    """The median of the ratios of neighbours: what differs between rounds cancels out."""
    return statistics.median(a / b for a, b in zip(above, below) if b)


def verdict(figure, bound, at_least):
    """A figure against its target."""
    met = figure >= bound if at_least else figure <= bound
    relation = ">=" if at_least else "<="
    return f"{figure:.2f} ({relation} {bound:g}: {'met' if met else '**missed**'})"
