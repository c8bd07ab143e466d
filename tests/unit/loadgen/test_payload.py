"""Request bytes: whole, valid HTTP, only the id differing; and the right answer to each image."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.payload import (
    PayloadSet,
    Target,
    make_payloads,
    parse_url,
    predict_digits,
    request_id,
)
from streambox.models.digits import heldout

TARGET = Target("example.test", 8080, "/api/batcher")


def split(request: bytes) -> tuple[list[str], dict, bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), json.loads(body), body


def test_a_request_is_the_references_body_under_a_correct_head():
    payloads = PayloadSet(TARGET, "resnet50", [[1, 2, 3, 4], [5, 6, 7, 8]])
    head, body, raw = split(payloads.request(1, 42))
    assert body == {"request_id": "0000000042", "model": "resnet50", "data": {"vector": [5, 6, 7, 8]}}
    assert head[0] == "POST /api/batcher HTTP/1.1"
    assert "Host: example.test:8080" in head
    assert "Content-Type: application/json" in head
    assert f"Content-Length: {len(raw)}" in head


@pytest.mark.parametrize("index", [0, 9, 10, 9_999_999_999])
def test_the_content_length_is_right_for_every_id(index):
    head, body, raw = split(PayloadSet(TARGET, "m", [[1]]).request(0, index))
    assert f"Content-Length: {len(raw)}" in head
    assert body["request_id"] == request_id(index)


def test_a_model_named_like_the_placeholder_does_not_confuse_the_splicing():
    _, body, _ = split(PayloadSet(TARGET, "0000000000", [[0]]).request(0, 7))
    assert (body["request_id"], body["model"]) == ("0000000007", "0000000000")


def test_an_ipv6_host_is_bracketed():
    assert b"Host: [::1]:80\r\n" in PayloadSet(Target("::1", 80, "/"), "m", [[1]]).request(0, 0)


def test_digits_are_the_held_out_images_with_the_models_own_answers():
    images, labels = heldout()
    payloads = make_payloads(TARGET, "digits", 0)
    assert len(payloads) == len(images)
    _, body, _ = split(payloads.request(3, 0))
    assert body["data"]["vector"] == images[3].ravel().tolist()
    assert payloads.expected.shape == (len(images), 10)
    assert (payloads.expected.argmax(axis=1) == labels).mean() > 0.95


def test_an_image_has_the_same_answer_alone_and_in_a_batch():
    images, _ = heldout()
    together = predict_digits(images[:8])
    alone = np.concatenate([predict_digits(images[i : i + 1]) for i in range(8)])
    assert np.abs(together - alone).max() < 1e-4


def test_other_models_get_the_references_seeded_vectors():
    first, again, other = (make_payloads(TARGET, "resnet50", seed) for seed in (0, 0, 1))
    vectors = [split(first.request(i, 0))[1]["data"]["vector"] for i in range(len(first))]
    assert {len(vector) for vector in vectors} == {4}
    assert {type(number) for vector in vectors for number in vector} == {int}
    assert (min(map(min, vectors)), max(map(max, vectors))) == (1, 99)
    assert first.request(5, 0) == again.request(5, 0)
    assert any(first.request(i, 0) != other.request(i, 0) for i in range(len(first)))
    assert first.expected is None


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://localhost:8080/api/batcher", ("localhost", 8080, "/api/batcher")),
        ("http://localhost", ("localhost", 80, "/")),
        ("localhost:9000/x", ("localhost", 9000, "/x")),
        ("http://[::1]:5/p?q=1", ("::1", 5, "/p?q=1")),
    ],
)
def test_urls_are_taken_apart(url, target):
    assert parse_url(url) == target


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("https://localhost/", "only http://"),
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
