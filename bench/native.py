"""A connection that speaks the part of the native protocol that loads need; see docs/protocol.md."""

import socket
import struct

PREFACE = b"WAKEFUL\x01"
REQUEST, REPLY, ERROR, PING, PONG = 3, 4, 5, 9, 10
SET, GET, RANGE, DELETE, TXN, LEASE_GRANT, LEASE_TIME_TO_LIVE, COMPACT = 0, 1, 2, 3, 4, 5, 8, 10
WAIT, STREAM_OPEN, WATCH_ADD, JOB = 14, 15, 16, 20
JOB_PUSH, JOB_RESERVE, JOB_SET_TOPIC = 0, 1, 12


def u32(number):
    return struct.pack("<I", number)


def u64(number):
    return struct.pack("<Q", number)


def blob(value):
    return u64(len(value)) + value


def prefix(start):
    return u32(1) + blob(start)


def range_fields(start, revision=0, limit=0, count_only=False):
    flags = bytes([0, 0, count_only])
    return prefix(start) + u64(revision) + u32(limit) + flags + blob(b"")


def request(variant, fields):
    return b"\x00" + u32(variant) + fields


def set_key(key, value, lease=0):
    return request(SET, blob(key) + blob(value) + u64(lease) + u64(0) + b"\x00\x00")


def get_key(key):
    return request(GET, blob(key) + u64(0))


def one_key(key):
    return u32(0) + blob(key)


def open_stream(window_bytes):
    return request(STREAM_OPEN, u32(window_bytes))


def watch_key(stream, key, watch_id=1):
    """Watches puts and deletes of a key from now on."""
    options = b"\x01\x01\x00\x00" + u64(0) + b"\x00"
    return request(WATCH_ADD, u64(stream) + u64(watch_id) + one_key(key) + u32(0) + options)


def wait_changed(key, timeout_ms):
    return request(WAIT, one_key(key) + u32(0) + b"\x00\x01" + u64(timeout_ms))


def push_job(topic, payload, wait_ms=0):
    job = blob(topic) + blob(payload) + b"\x00" + u32(1) + b"\x00\x00" + u64(0)
    return request(JOB, u32(JOB_PUSH) + u64(1) + job + b"\x00\x00\x00" + u64(wait_ms))


def reserve_job(topic, wait_ms):
    return request(JOB, u32(JOB_RESERVE) + blob(topic) + u32(1) + b"\x01" + u64(wait_ms) + b"\x00")


def set_topic_jobs_max(topic, jobs_max):
    settings = b"\x00\x00\x01" + u64(jobs_max) + bytes(6)
    return request(JOB, u32(JOB_SET_TOPIC) + blob(topic) + settings)


def read_range(*fields, **named):
    return request(RANGE, range_fields(*fields, **named))


def delete(start):
    return request(DELETE, prefix(start) + b"\x00")


def txn_of_ranges(count, *fields, **named):
    ops = (u32(2) + range_fields(*fields, **named)) * count
    return request(TXN, u64(0) + u64(count) + ops + u64(0))


class Connection:
    """One connection; requests are sent as bytes, answers are counted."""

    def __init__(self, addr, receive_bytes=None):
        host, port = addr.rsplit(":", 1)
        self.socket = socket.socket()
        if receive_bytes:
            # Before it connects, so that the kernel announces no larger window.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(120)
        self.socket.connect((host, int(port)))
        self.input = self.socket.makefile("rb", 1 << 20)
        self.last = 0
        hello = blob(b"bench") + blob(b"")
        self.socket.sendall(PREFACE + self.frame(1, 0, hello))
        self.input.read(len(PREFACE))
        self.answer()

    @staticmethod
    def frame(kind, id_, body):
        return struct.pack("<IBBBBIQ", len(body), kind, 1, 0, 0, 0, id_) + body

    def send(self, bodies):
        frames = []
        for body in bodies:
            self.last += 1
            frames.append(self.frame(REQUEST, self.last, body))
        self.socket.sendall(b"".join(frames))

    def answer(self):
        """Returns the kind and body of the next frame that is not a ping."""
        while True:
            length, kind, *_, id_ = struct.unpack("<IBBBBIQ", self.input.read(20))
            body = self.input.read(length)
            if kind != PING:
                return kind, body
            self.socket.sendall(self.frame(PONG, id_, b""))

    def ask(self, bodies):
        """Returns the answers to requests, in some order; refusals are errors."""
        bodies = list(bodies)
        self.send(bodies)
        answers = [self.answer() for _ in bodies]
        refused = [body for kind, body in answers if kind == ERROR]
        if refused:
            raise RuntimeError(f"refused: {refused[0]!r}")
        return [body for _, body in answers]

    def flood(self, body, pipeline, stopped):
        """Keeps this number of one request in flight until `stopped`; returns the number of answers."""
        answered = 0
        self.send([body] * pipeline)
        while not stopped():
            self.answer()
            answered += 1
            self.send([body])
        self.socket.close()
        return answered
