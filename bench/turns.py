"""The longest wait of a bystander's get while one connection sends the largest allowed requests."""

import json
import socket
import threading
import time

import native
from results import median
from servers import Wakeful, say

LEASE = 7
WATCH_IDS = 100_000
BEYOND_IDLE_MAX = 10  # milliseconds


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=5, help="how often all take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one load")
    # One connection with one request under way: at a higher rate, gets that are due meanwhile would
    # queue behind each long one, and the figure would be the length of that queue.
    parser.add_argument("--rate", type=int, default=100, help="gets per second of the bystander")
    parser.add_argument("--keys", type=int, default=200_000, help="keys, and as many deleted ones")


def run(run, options):
    with Wakeful() as server:
        past = fill(server, options.keys)
        loads = {
            "nobody": None,
            "count_only of all keys": flood(native.read_range(b"k", count_only=True), 256),
            "pages of 10,000 keys": flood(native.read_range(b"k"), 16),
            "ranges of the past, all keys deleted since": flood(
                native.read_range(b"gone", past, 1), 256
            ),
            "transactions of 1,024 such ranges": flood(
                native.txn_of_ranges(1024, b"gone", past, 1), 16
            ),
            "LeaseTimeToLive of 100,000 keys": flood(
                native.request(native.LEASE_TIME_TO_LIVE, native.u64(LEASE)), 64
            ),
            "sets of one key": flood(native.set_key(b"k0000001", b"x" * 64), 4096),
            "100,000 sets, then a delete of them in one revision": delete_many,
            f"sets of a key with {2 * WATCH_IDS:,} watch ids": flood(
                native.set_key(b"watched", b"x" * 64), 1
            ),
        }
        audience = [watch_many(server) for _ in range(2)]
        measured = {name: {"p50": [], "p99": [], "max": []} for name in loads}
        for round_ in range(options.rounds):
            names = list(loads) if round_ % 2 == 0 else list(loads)[::-1]
            for name in names:
                say(f"round {round_ + 1}/{options.rounds}: beside {name}")
                report = beside(run, server, name, loads[name], options)
                for figure, of in measured[name].items():
                    of.append(report[f"{figure}_us"] / 1000)
        for peer in audience:
            peer.socket.shutdown(socket.SHUT_RDWR)
    run.write(
        f"Latency of get, milliseconds, of one connection at {options.rate} gets a second, from when "
        f"each was due, beside one connection that pipelines; {options.keys:,} keys, as many deleted "
        f"ones. Median of {options.rounds} rounds of {options.seconds:g} s that took turns. \"Beyond "
        f"idle\" is the longest less that beside nobody; the aim is at most {BEYOND_IDLE_MAX} ms. The "
        f"last column is the worst of all rounds."
    )
    idle = median(measured["nobody"]["max"])
    rows = []
    for name, figures in measured.items():
        beyond = median(figures["max"]) - idle
        verdict = "met" if beyond <= BEYOND_IDLE_MAX else "missed"
        beyond = "" if name == "nobody" else f"{beyond:.2f}: {verdict}"
        medians = (f"{median(of):.2f}" for of in figures.values())
        rows.append([name, *medians, beyond, f"{max(figures['max']):.2f}"])
    run.table(["beside", "p50", "p99", "longest", "beyond idle", "longest of all rounds"], rows)


def fill(server, keys):
    """Keys, deleted keys, and a large lease; the revision before the deleted keys were created."""
    peer = native.Connection(server.addr)

    def write(names, lease=0):
        names = list(names)
        for first in range(0, len(names), 1000):
            part = names[first : first + 1000]
            peer.ask(native.set_key(name, b"x" * 64, lease) for name in part)

    peer.ask([native.request(native.LEASE_GRANT, native.u64(LEASE) + native.u64(86_400_000))])
    write(b"k%07d" % number for number in range(keys))
    write((b"leased%06d" % number for number in range(100_000)), LEASE)
    # The keys that a range at this revision examines are created and deleted after it.
    revision = int.from_bytes(peer.ask([native.set_key(b"now", b"")])[0][4:12], "little")
    for first in range(0, keys, 50_000):
        write(b"gone%07d" % number for number in range(first, min(first + 50_000, keys)))
        peer.ask([native.delete(b"gone")])
    return revision


def flood(body, pipeline):
    return lambda peer, is_over: peer.flood(body, pipeline, is_over)


def delete_many(peer, is_over):
    """Repeatedly sets as many keys as one revision may delete, and deletes them, until the end."""
    answered = 0
    while not is_over():
        for first in range(0, 100_000, 1000):
            keys = range(first, first + 1000)
            answered += len(peer.ask(native.set_key(b"mass%06d" % key, b"") for key in keys))
        answered += len(peer.ask([native.delete(b"mass")]))
    peer.socket.close()
    return answered


def watch_many(server):
    """A connection with one stream of very many watch ids of one key, which reads everything."""
    peer = native.Connection(server.addr)
    peer.ask([native.open_stream(0xFFFF_FFFF)])
    stream = peer.last
    for first in range(0, WATCH_IDS, 1000):
        ids = range(first + 1, first + 1001)
        peer.ask(native.watch_key(stream, b"watched", watch_id) for watch_id in ids)
    peer.socket.settimeout(None)

    def read():
        try:
            while True:
                peer.answer()
        except (OSError, native.struct.error):
            pass  # The connection was closed.

    threading.Thread(target=read, daemon=True).start()
    return peer


def beside(run, server, name, load, options):
    """The measurements of the bystander."""
    over = threading.Event()
    answered = []

    def attack():
        answered.append(load(native.Connection(server.addr), over.is_set))

    attacker = threading.Thread(target=attack) if load else None
    if attacker:
        attacker.start()
        time.sleep(0.2)
    words = ["--ops", "get", "--connections", 1, "--rate", options.rate]
    try:
        command = server.bench_command(*words, "--seconds", options.seconds)
        report = json.loads(run.call(f"get beside {name}", command, 120, "get"))
    finally:
        over.set()
        if attacker:
            attacker.join(timeout=60)
    run.note("attacker", beside=name, answered=sum(answered))
    return report
