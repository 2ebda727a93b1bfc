"""The cost of clients that do not read: the memory of the server, and the bytes that it counts."""

import json
import time

import native
from servers import Wakeful, say

MIB = 2**20
BIG = b"x" * MIB
LIMITS = {
    "store.total_bytes_max": "64MiB",
    "store.history_bytes_max": "8MiB",
    # No connection is closed during the measurement.
    "rpc.write_timeout": "10m",
    "rpc.ping_interval": "10m",
}
FOR_EVER_MS = 3_600_000


def add_arguments(parser):
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of attackers")
    parser.add_argument(
        "--uncounted", action="store_true", help="the binary is of before there was a counter"
    )


def run(run, options):
    attacks = [
        ("streams without credit on one key of 1 MiB that is set again for each", 2_000, streams),
        ("connections that ask for 60 keys of 1 MiB, which are then deleted", 50, answers),
        ("connections that ask once for one key of 1 MiB, which is then deleted", 500, one_answer),
        ("connections with a stream with credit, and an event of 1 MiB", 500, events),
        ("connections with 10 waits that are met by 1 MiB each", 50, waits),
        ("connections with 20 reserves, and jobs of 1 MiB", 20, reserves),
        ("pushes of 100 KB that wait for room", 500, pushes),
    ]
    rows = []
    for name, number, attack in attacks:
        number = max(int(number * options.scale), 1)
        say(f"{number} {name}")
        rows.append(measured(run, name, number, attack, options))
    run.write(
        "A server with " + ", ".join(f"`{name}={value}`" for name, value in LIMITS.items()) + ". "
        "Resident memory of the server, MiB, with the keys that there are (a few, or 60 MiB), with the "
        "attackers, who read nothing, and after the keys are deleted and compacted; what the server "
        "counts as kept for them then, MiB; and the longest of 100 gets of a small key meanwhile. What "
        "the kernel holds for sockets is not in it."
    )
    run.table(
        ["attackers", "number", "before MiB", "with MiB", "after MiB", "kept MiB", "get ms"], rows
    )


def measured(run, name, number, attack, options):
    limits = [word for limit in LIMITS.items() for word in ("--limit", "=".join(limit))]
    with Wakeful(*limits) as server:
        writer = native.Connection(server.addr)
        writer.ask([native.set_key(b"small", b"v")])
        peers = []
        before, cleared = attack(server, writer, number, peers)
        time.sleep(1)
        held = server.rss_bytes()
        cleared()
        time.sleep(1)
        after = server.rss_bytes()
        slowest = slowest_get(writer)
        kept = None if options.uncounted else kept_bytes(run, server, name)
    run.note("unread", case=name, number=number, before=before, held=held, after=after, kept=kept)
    shown = [f"{size / MIB:,.1f}" for size in (before, held, after)]
    counted = "not counted" if kept is None else f"{kept / MIB:,.2f}"
    return [name, f"{number:,}", *shown, counted, f"{slowest * 1000:.1f}"]


def kept_bytes(run, server, name):
    command = server.command_line("status", "--json")
    return json.loads(run.call(f"status after {name}", command, 30, "status"))["output_bytes"]


def slowest_get(peer):
    slowest = 0.0
    for _ in range(100):
        begun = time.monotonic()
        peer.ask([native.get_key(b"small")])
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


def forget(writer, start):
    """Deletes the keys with this prefix, and compacts all history."""
    writer.ask([native.delete(start)])
    revision = int.from_bytes(writer.ask([native.set_key(b"now", b"")])[0][4:12], "little")
    writer.ask([native.request(native.COMPACT, native.u64(revision))])


def keep(peers, server, bodies):
    peer = native.Connection(server.addr)
    peer.send(bodies)
    peers.append(peer)


def streams(server, writer, number, peers):
    writer.ask([native.set_key(b"big", BIG)])
    before = server.rss_bytes()
    peer = native.Connection(server.addr)
    peers.append(peer)
    for _ in range(number):
        stream = peer.last + 1
        peer.ask([native.open_stream(0), native.watch_key(stream, b"big")])
        writer.ask([native.set_key(b"big", BIG)])
    return before, lambda: forget(writer, b"big")


def answers(server, writer, number, peers, keys=60):
    names = [b"big%02d" % key for key in range(keys)]
    for name in names:
        writer.ask([native.set_key(name, BIG)])
    before = server.rss_bytes()
    for _ in range(number):
        keep(peers, server, [native.get_key(name) for name in names])
    return before, lambda: forget(writer, b"big")


def one_answer(server, writer, number, peers):
    before = server.rss_bytes()
    for _ in range(number):
        # One value each, eight of which the history keeps.
        writer.ask([native.set_key(b"big", BIG)])
        peer = native.Connection(server.addr, receive_bytes=4096)
        peer.send([native.get_key(b"big")])
        peers.append(peer)
    return before, lambda: forget(writer, b"big")


def events(server, writer, number, peers):
    before = server.rss_bytes()
    for _ in range(number):
        peer = native.Connection(server.addr, receive_bytes=4096)
        peer.ask([native.open_stream(1), native.watch_key(1, b"big")])
        peers.append(peer)
        writer.ask([native.set_key(b"big", BIG)])
    return before, lambda: forget(writer, b"big")


def waits(server, writer, number, peers):
    before = server.rss_bytes()
    for of in range(number):
        names = [b"big%d/%d" % (of, key) for key in range(10)]
        peer = native.Connection(server.addr, receive_bytes=4096)
        peer.ask([native.wait_changed(name, FOR_EVER_MS) for name in names])
        peers.append(peer)
        for name in names:
            writer.ask([native.set_key(name, BIG)])
        writer.ask([native.delete(b"big")])
    return before, lambda: forget(writer, b"big")


def reserves(server, writer, number, peers):
    before = server.rss_bytes()
    for _ in range(number):
        keep(peers, server, [native.reserve_job(b"jobs", FOR_EVER_MS)] * 20)
    for _ in range(200):
        writer.ask([native.push_job(b"jobs", BIG)])
    return before, lambda: None


def pushes(server, writer, number, peers):
    writer.ask([native.set_topic_jobs_max(b"full", 1)])
    writer.ask([native.push_job(b"full", b"first")])
    before = server.rss_bytes()
    keep(peers, server, [native.push_job(b"full", b"x" * 100_000, FOR_EVER_MS)] * number)
    return before, lambda: None
