"""
A server that notes when each request came: ``python benchmarks/arrival_recorder.py FILE``.

It prints its port, then ``begun`` at the first request, and writes FILE (npz: ``instants_ns`` of the
wall clock, ``connections``) when its standard input ends. The instants are the kernel's, of the moment
when the packet was handed over (on loopback: by the sender), so that they tell of the sender alone,
however late this server looks.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
from array import array

import numpy as np

from streambox.loadgen.process import most_sockets

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_TIMESTAMPS = 35  # SO_TIMESTAMPNS, which the socket module does not name
_ANCILLARY_BYTES = socket.CMSG_SPACE(16)
_MOST_BYTES = 4096


class Recorder:
    """Serves *listener*; a request is a JSON object, one at a time on a connection."""

    def __init__(self, listener: socket.socket) -> None:
        self.instants_ns = array("q")
        self.connections = array("i")
        self._listener = listener
        self._open: dict[int, socket.socket] = {}
        self._number: dict[int, int] = {}
        self._poll = select.epoll()

    def serve_until(self, stop: int) -> None:
        """Until the file descriptor *stop* can be read."""
        listening = self._listener.fileno()
        for fd in (listening, stop):
            self._poll.register(fd, select.EPOLLIN)
        while True:
            for fd, _ in self._poll.poll():
                if fd == stop:
                    return
                if fd == listening:
                    self._accept()
                else:
                    self._receive(fd)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fd = connection.fileno()
        self._open[fd] = connection
        self._number[fd] = len(self._number)
        self._poll.register(fd, select.EPOLLIN)

    def _receive(self, fd: int) -> None:
        connection = self._open[fd]
        try:
            received, ancillary, _, _ = connection.recvmsg(_MOST_BYTES, _ANCILLARY_BYTES)
        except OSError:
            received = b""
        if not received:
            self._poll.unregister(fd)
            self._open.pop(fd).close()
        elif received.endswith(b"}"):
            self._note(fd, ancillary)
            connection.send(ANSWER)

    def _note(self, fd: int, ancillary: list[tuple[int, int, bytes]]) -> None:
        seconds, ns = struct.unpack("=qq", ancillary[0][2])
        if not self.instants_ns:
            print("begun", flush=True)
        self.instants_ns.append(seconds * 1_000_000_000 + ns)
        self.connections.append(self._number[fd])


def main() -> None:
    most_sockets()  # raises the limit on open files
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        # Its connections have it from the first packet on.
        listener.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
        recorder = Recorder(listener)
        print(listener.getsockname()[1], flush=True)
        recorder.serve_until(sys.stdin.fileno())
    np.savez(sys.argv[1], instants_ns=recorder.instants_ns, connections=recorder.connections)


if __name__ == "__main__":
    main()
