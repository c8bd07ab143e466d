"""Where requests go, and what is refused as a URL or a header."""

from __future__ import annotations

import pytest

from streambox.errors import UsageError
from streambox.loadgen.target import Target, parse_url, read_headers


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://localhost:8080/api/batcher", Target("localhost", 8080, "/api/batcher")),
        ("http://localhost", Target("localhost", 80, "/")),
        ("localhost:9000/x", Target("localhost", 9000, "/x")),
        ("http://[::1]:5/p?q=1", Target("::1", 5, "/p?q=1")),
        ("https://localhost/x", Target("localhost", 443, "/x", tls=True)),
        ("unix:///run/s.sock", Target("localhost", 0, "/api/batcher", unix="/run/s.sock")),
    ],
)
def test_urls_are_taken_apart(url, target):
    assert parse_url(url) == target


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("ftp://localhost/", "only http://, https:// and unix://"),
        ("unix://run/s.sock", "three slashes"),
        ("unix:///", "three slashes"),
        ("http:///path", "no host"),
        ("http://localhost:99999/", "not a URL"),
        ("http://localhost:x/", "not a URL"),
        ("http://localhost/a b", "percent-encode"),
        ("http://localhost/é", "percent-encode"),
        ("http://localhost/a\x01b", "percent-encode"),
    ],
)
def test_urls_that_cannot_be_used_are_refused_with_the_reason(url, named):
    with pytest.raises(UsageError, match=named):
        parse_url(url)


@pytest.mark.parametrize("url", ["http://localhost:8080/x", "https://[::1]:5/p", "unix:///run/s.sock"])
def test_a_target_can_be_shown(url):
    assert url in parse_url(url).url


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Authorization", "Name: value"),
        ("Author ization: x", "Name: value"),
        ("X: ", "'X' has no value"),
        ("X: a\r\nY: b", "not printable ASCII"),
        ("X: é", "not printable ASCII"),
        ("Content-Length: 5", "set by the load generator"),
        ("HOST: x", "set by the load generator"),
    ],
)
def test_what_is_no_header_is_refused(line, reason):
    with pytest.raises(UsageError, match=reason):
        read_headers([line])


def test_a_headers_value_may_come_from_the_environment_or_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("KEY", "s3cret: [odd")
    (tmp_path / "h").write_text("# mine\nX-Key: ${KEY}\n\nX-Other: 1\n")
    assert read_headers(["Authorization: Bearer ${KEY}"]) == ("Authorization: Bearer s3cret: [odd",)
    assert read_headers([f"@{tmp_path / 'h'}", "X-A: b"]) == ("X-Key: s3cret: [odd", "X-Other: 1", "X-A: b")
    assert read_headers(["@h"], tmp_path) == ("X-Key: s3cret: [odd", "X-Other: 1")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("X: ${NOT_SET_ANYWHERE}", "NOT_SET_ANYWHERE} is not set"),
        ("@/no/such/file", "/no/such/file: headers cannot be read: No such file"),
        ("@/dev/null", "holds no header"),
    ],
)
def test_a_header_that_cannot_be_had_is_refused(line, reason):
    with pytest.raises(UsageError) as error:
        read_headers([line])
    assert reason in str(error.value)


@pytest.mark.parametrize("line", ["sk-s3cret", "Bearer s3cret", "X: s3cret é", "Content-Length: s3cret"])
def test_a_header_that_is_refused_is_not_shown(line, tmp_path):
    with pytest.raises(UsageError) as error:
        read_headers([line])
    assert "s3cret" not in str(error.value)
