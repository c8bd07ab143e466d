"""One client connection, fed by hand: what it keeps of a response, and for how long."""

from __future__ import annotations

import gc
import weakref

import pytest

from streambox.loadgen import connection as module
from streambox.loadgen.connection import ClientConnection, Framing

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


class Sender:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heads: dict[bytes, Framing] = {}
        self.incoming_bytes = 0
        self.responses: list[bytes] = []
        self.garbage = 0
        self.lost = 0

    def on_response(self, connection, status, body, keep_alive, done_ns) -> None:
        self.responses.append(body)

    def learn(self, head, framing) -> None:
        self.heads[head] = framing

    def on_garbage(self, connection) -> None:
        self.garbage += 1

    def on_lost(self, connection) -> None:
        self.lost += 1


def connected(sender: Sender) -> ClientConnection:
    return ClientConnection(sender, None)


def busy(sender: Sender) -> ClientConnection:
    connection = connected(sender)
    connection.index = 0
    return connection


def feed(connection: ClientConnection, size: int, *, pieces: int) -> None:
    """The head and *pieces* tenths of a body of *size* bytes."""
    connection.data_received(HEAD % size)
    for _ in range(pieces):
        connection.data_received(bytes(size // 10))


def test_a_response_in_pieces_is_counted_until_it_is_whole():
    sender = Sender()
    connection = connected(sender)
    feed(connection, 1000, pieces=9)
    assert sender.incoming_bytes == 800  # the first piece is no copy, and is not counted
    connection.data_received(bytes(100))
    assert sender.responses == [bytes(1000)]
    assert sender.incoming_bytes == 0


def test_a_response_over_its_limit_is_none(monkeypatch):
    monkeypatch.setattr(module, "MOST_BODY_BYTES", 500)
    sender = Sender()
    feed(connected(sender), 1000, pieces=5)
    assert (sender.garbage, sender.incoming_bytes) == (0, 400)
    sender = Sender()
    feed(connected(sender), 1000, pieces=6)
    assert (sender.garbage, sender.incoming_bytes) == (1, 0)


def test_responses_that_come_in_together_have_a_limit_together(monkeypatch):
    monkeypatch.setattr(module, "MOST_BODIES_BYTES", 1000)
    sender = Sender()
    connections = [connected(sender) for _ in range(3)]
    for connection in connections:
        feed(connection, 1000, pieces=5)
    assert sender.garbage == 1  # the third; what it had held has room again
    assert sender.incoming_bytes <= 1000
    connections[0].data_received(bytes(100))
    assert sender.garbage == 1


@pytest.mark.parametrize(
    "reads", [[b"HTTP/1.0 200 OK\r\n\r\nabc", b"def"], [b"HTTP/1.1 200 OK\r\n\r\n", b"abcdef"]]
)
def test_a_body_without_a_length_lasts_until_the_connection_ends(reads):
    sender = Sender()
    for _ in range(2):  # also where the same head has been seen before
        connection = busy(sender)
        for read in reads:
            connection.data_received(read)
        assert not sender.responses
        connection.eof_received()
        assert sender.responses.pop() == b"abcdef"


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", "it has a length, and is shorter"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "the last chunk is missing"),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n", "the head is not whole"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "the answer is yet to come"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", "the same"),
    ],
)
def test_any_other_end_cuts_the_response_off(read, why):
    sender = Sender()
    connection = busy(sender)
    connection.data_received(read)
    connection.eof_received()
    assert sender.responses == [], why


def test_an_end_that_nobody_waits_for_is_no_response():
    sender = Sender()
    connection = connected(sender)
    connection.data_received(b"HTTP/1.0 200 OK\r\n\r\nabc")
    connection.eof_received()
    assert sender.responses == []


@pytest.mark.parametrize("pieces", [0, 5])
def test_a_lost_connection_lets_go_of_everything_without_the_collector(pieces):
    """The collector rests during a run; a server may close every connection after its answer."""
    sender = Sender()
    gone = weakref.ref(sender)
    gc.collect()
    gc.disable()
    try:
        connection = connected(sender)
        feed(connection, 1000, pieces=pieces)
        connection.connection_lost(None)
        assert (sender.lost, sender.incoming_bytes) == (1, 0)
        del connection, sender
        assert gone() is None
    finally:
        gc.enable()
