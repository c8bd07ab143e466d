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
from streambox.errors import ConfigError, RunFailed
from streambox.server.run import Server, bind, check_exposure, serve
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


# ---- who can come in -------------------------------------------------------------------------------

OPEN = "batcher: {host: 0.0.0.0, port: 0}\n"
TENANTS = f'tenants: [{{name: acme, keys: [{{id: k1, sha256: "{"a" * 64}"}}]}}]\n'


def started(text, **options):
    """What a server with this configuration logs until it listens."""

    async def listening() -> None:
        async with Serving(without_models(text)) as serving, Server(serving, **options):
            return

    with structlog.testing.capture_logs() as logs:
        asyncio.run(listening())
    return logs


def test_without_tenants_only_this_machine_may_come_in():
    with pytest.raises(ConfigError, match=r"streambox tenant key NAME.*127\.0\.0\.1.*--insecure$"):
        started(OPEN)
    with pytest.raises(ConfigError, match=r"other machines can reach 0\.0\.0\.0"):
        asyncio.run(serve(without_models(OPEN)))


def test_told_so_it_lets_everybody_in():
    assert any(entry["event"] == "listening" for entry in started(OPEN, insecure=True))


def test_with_tenants_it_lets_them_in_and_says_that_their_keys_can_be_read_on_the_way():
    logs = started(OPEN + TENANTS)
    assert next(entry for entry in logs if entry["event"] == "listening")["tenants"] == ["acme"]
    assert any("plain text" in entry["event"] for entry in logs)
    assert not any("plain text" in entry["event"] for entry in started("batcher: {port: 0}\n" + TENANTS))
    assert "a" * 64 not in str(logs)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1"])
def test_every_address_of_loopback_is_this_machine(host):
    with bind(host, 0) as bound:
        check_exposure(bound, without_models(""), insecure=False)
