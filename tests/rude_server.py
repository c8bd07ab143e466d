"""
A server that misbehaves, byte by byte, in threads: what a load generator may meet.

``python tests/rude_server.py COUNT`` is one as a process: it prints its port, answers COUNT
requests, and kills itself.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

Answer = Callable[[socket.socket, int], None]

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_PIECE = bytes(1 << 20)


def well(connection: socket.socket, number: int) -> None:
    connection.sendall(WHOLE)


def nothing(connection: socket.socket, number: int) -> None:
    """The connection stays open, and silent."""


def bytes_of(answer: bytes) -> Answer:
    """*answer*, and then silence."""
    return lambda connection, number: connection.sendall(answer)


def then_closing(answer: Answer) -> Answer:
    def close_after(connection: socket.socket, number: int) -> None:
        answer(connection, number)
        connection.shutdown(socket.SHUT_RDWR)

    return close_after


def gigabyte(connection: socket.socket, number: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
    for _ in range(1 << 10):
        connection.sendall(_PIECE)


def endless(connection: socket.socket, number: int) -> None:
    """Chunk after chunk, and no last one."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE)
    while True:
        connection.sendall(chunk)


class RudeServer:
    """
    ``with RudeServer(answer) as server``: listens on ``server.url`` until the block ends.

    *answer* is called with the connection and the request's number, once for each request.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._reached = threading.Event()
        self._goal = -1
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.asked = 0

    def __enter__(self) -> RudeServer:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def wait_until_asked(self, count: int) -> None:
        """Return once *count* requests have come."""
        self._goal = count
        if self.asked < count:
            assert self._reached.wait(30), f"only {self.asked} of {count} requests came"

    def leave(self) -> None:
        """Refuse further connections, and reset those there are."""
        with self._lock:
            for connection in (self._listener, *self._open):
                _shut(connection)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # left
                self._listener.close()
                return
            with self._lock:
                self._open.append(connection)
            self._threads.append(threading.Thread(target=self._converse, args=(connection,)))
            self._threads[-1].start()

    def _converse(self, connection: socket.socket) -> None:
        """Each of the load generator's requests is small enough to come in one piece."""
        try:
            while connection.recv(1 << 16):
                with self._lock:
                    number, self.asked = self.asked, self.asked + 1
                if self.asked >= self._goal >= 0:
                    self._reached.set()
                self._answer(connection, number)
        except OSError:  # the other side has had enough
            pass
        finally:
            with self._lock:
                self._open.remove(connection)
            connection.close()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has ended by itself
        return


def mortal(count: int) -> Answer:
    def answer(connection: socket.socket, number: int) -> None:
        if number >= count:
            os.kill(os.getpid(), signal.SIGKILL)
        well(connection, number)

    return answer


if __name__ == "__main__":
    with RudeServer(mortal(int(sys.argv[1]))) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        threading.Event().wait()
