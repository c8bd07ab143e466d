"""A server's answers that cost a check as much as right ones."""

from __future__ import annotations

import pytest

from streambox.loadgen.answers import read_reference
from streambox.loadgen.payload import Target, make_payloads
from streambox.loadgen.static_server import answer


@pytest.mark.parametrize("model", ["digits", "static"])
def test_the_answer_is_to_the_request_and_holds_what_a_batchers_does(model):
    payloads = make_payloads(Target("localhost", 1, "/"), model, 0)
    body = payloads.request(3, 1234567).partition(b"\r\n\r\n")[2]
    head, _, content = answer(body).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(content)}" in head.decode()
    found = read_reference(content)
    assert found.request_id == "0001234567"
    assert (len(found.row()), found.batch.size) == (10, 1)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"request_id":"abc"}', b'{"request_id":"'])
def test_a_request_of_another_kind_is_answered_at_the_same_length(body):
    usual = answer(b'{"request_id":"0000000001"}')
    assert len(answer(body)) == len(usual)
    assert read_reference(answer(body).partition(b"\r\n\r\n")[2]).request_id == "0000000000"
