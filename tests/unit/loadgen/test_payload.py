"""Request bytes: whole, valid HTTP, only the id differing; and the right answer to each image."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.payload import (
    PayloadOptions,
    PayloadSet,
    Target,
    checked_header,
    count_payloads,
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
    payloads = PayloadSet.of_vectors(TARGET, "resnet50", [[1, 2, 3, 4], [5, 6, 7, 8]])
    head, body, raw = split(payloads.request(1, 42))
    assert body == {"request_id": "0000000042", "model": "resnet50", "data": {"vector": [5, 6, 7, 8]}}
    assert head[0] == "POST /api/batcher HTTP/1.1"
    assert "Host: example.test:8080" in head
    assert "Content-Type: application/json" in head
    assert f"Content-Length: {len(raw)}" in head


@pytest.mark.parametrize("index", [0, 9, 10, 9_999_999_999])
def test_the_content_length_is_right_for_every_id(index):
    head, body, raw = split(PayloadSet.of_vectors(TARGET, "m", [[1]]).request(0, index))
    assert f"Content-Length: {len(raw)}" in head
    assert body["request_id"] == request_id(index)


def test_a_model_named_like_the_placeholder_does_not_confuse_the_splicing():
    _, body, _ = split(PayloadSet.of_vectors(TARGET, "0000000000", [[0]]).request(0, 7))
    assert (body["request_id"], body["model"]) == ("0000000007", "0000000000")


def test_an_ipv6_host_is_bracketed():
    assert b"Host: [::1]:80\r\n" in PayloadSet.of_vectors(Target("::1", 80, "/"), "m", [[1]]).request(0, 0)


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


def test_headers_go_out_with_every_request():
    payloads = make_payloads(TARGET, "m", 0, PayloadOptions(headers=("Authorization: Bearer k", "X-A: 1")))
    head, _, raw = split(payloads.request(0, 1))
    assert "Authorization: Bearer k" in head
    assert "X-A: 1" in head
    assert f"Content-Length: {len(raw)}" in head


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Authorization", "is no header"),
        ("Author ization: x", "is no header"),
        ("X: ", "is no header"),
        ("X: a\r\nY: b", "not printable ASCII"),
        ("X: é", "not printable ASCII"),
        ("Content-Length: 5", "set by the load generator"),
        ("HOST: x", "set by the load generator"),
    ],
)
def test_what_is_no_header_is_refused(line, reason):
    with pytest.raises(UsageError, match=reason):
        checked_header(line)


def test_a_dataset_is_sent_row_by_row_with_its_answers(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.arange(6.0).reshape(3, 2), label=np.array([1, 0, 1]))
    payloads = make_payloads(TARGET, "m", 0, PayloadOptions(dataset=str(tmp_path / "d.npz")))
    vectors = [split(payloads.request(i, 0))[1]["data"]["vector"] for i in range(len(payloads))]
    assert vectors == [[0, 1], [2, 3], [4, 5]]
    assert payloads.labels.tolist() == [1, 0, 1]


def test_the_reference_api_takes_one_input(tmp_path):
    np.savez(tmp_path / "d.npz", a=np.zeros((3, 2)), b=np.zeros((3, 2)))
    with pytest.raises(UsageError, match="takes one input"):
        make_payloads(TARGET, "m", 0, PayloadOptions(dataset=str(tmp_path / "d.npz")))


@pytest.mark.parametrize("model", ["digits", "resnet50"])
def test_payloads_can_be_counted_without_making_them(tmp_path, model):
    assert count_payloads(model, None) == len(make_payloads(TARGET, model, 0))
    np.savez(tmp_path / "d.npz", x=np.zeros((7, 4)))
    assert count_payloads(model, str(tmp_path / "d.npz")) == 7
