"""The address that a server listens on, and how it is told."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

import msgspec
import pytest
import structlog
import uvloop

from streambox.config import Config, parse_config
from streambox.errors import RunFailed
from streambox.server.run import Server, bind
from streambox.serving import Serving


def without_models(text: str) -> Config:
    """A configuration that takes no time to start, which no file may have."""
    return msgspec.structs.replace(parse_config(text), models={})


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "a\0b"])
def test_what_is_no_host_name_is_refused_in_one_line(host):
    with pytest.raises(RunFailed, match=r"^cannot listen on '.*: name an address of this machine$"):
        bind(host, 0)


def test_a_port_that_is_taken_is_named_with_its_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RunFailed, match=rf"127\.0\.0\.1:{port}: .*: choose another --port"):
            bind("127.0.0.1", port)


def test_a_server_that_has_bound_beside_us_and_listens_first_is_noticed():
    """Both were started at once: neither listened yet when the other bound its address."""

    async def second() -> None:
        with bind("127.0.0.1", 0) as ours, socket.socket() as theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            theirs.bind(ours.getsockname())
            theirs.listen()
            async with Serving(without_models("")) as serving, Server(serving, ours):
                pytest.fail("it was said to listen")

    taken = "Address already in use: choose another --port"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(RunFailed, match=taken):
        runner.run(second())


def test_the_address_is_told_as_a_url_whatever_its_family():
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")

    async def listening() -> int:
        config = without_models("batcher: {host: '::1', port: 0}")
        async with Serving(config) as serving, Server(serving) as server:
            return server.port

    with structlog.testing.capture_logs() as logs:
        port = asyncio.run(listening())
    url = urlsplit(next(entry["url"] for entry in logs if entry["event"] == "listening"))
    assert (url.hostname, url.port) == ("::1", port)
