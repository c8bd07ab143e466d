"""Request bytes: whole, valid HTTP, only the id differing; and the right answer to each image."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.payload import (
    PayloadOptions,
    PayloadSet,
    make_payloads,
    request_id,
)
from streambox.loadgen.rows import predict_digits
from streambox.loadgen.target import Target
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
    assert np.shape(payloads.key.expected) == (len(images), 10)
    assert (np.argmax(payloads.key.expected, axis=1) == labels).mean() > 0.95


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
    assert not first.key.knows


def test_headers_go_out_with_every_request():
    payloads = make_payloads(TARGET, "m", 0, PayloadOptions(headers=("Authorization: Bearer k", "X-A: 1")))
    head, _, raw = split(payloads.request(0, 1))
    assert "Authorization: Bearer k" in head
    assert "X-A: 1" in head
    assert f"Content-Length: {len(raw)}" in head


def test_a_dataset_is_sent_row_by_row_with_its_answers(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.arange(6.0).reshape(3, 2), label=np.array([1, 0, 1]))
    payloads = make_payloads(TARGET, "m", 0, PayloadOptions(dataset=str(tmp_path / "d.npz")))
    vectors = [split(payloads.request(i, 0))[1]["data"]["vector"] for i in range(len(payloads))]
    assert vectors == [[0, 1], [2, 3], [4, 5]]
    assert payloads.key.labels == [1, 0, 1]


def test_the_reference_api_takes_one_input(tmp_path):
    np.savez(tmp_path / "d.npz", a=np.zeros((3, 2)), b=np.zeros((3, 2)))
    with pytest.raises(UsageError, match="takes one input"):
        make_payloads(TARGET, "m", 0, PayloadOptions(dataset=str(tmp_path / "d.npz")))


# ---- what is sent --------------------------------------------------------------------------------


def write(folder, name, content) -> str:
    (folder / name).write_text(content)
    return str(folder / name)


def body_of(payloads, payload=0, index=7) -> dict:
    return split(payloads.request(payload, index))[1]


def test_a_template_is_sent_with_the_rows_of_a_dataset(tmp_path):
    template = write(tmp_path, "t.json", '{"id": "{{id}}", "text": "{{row.text}}"}')
    rows = write(tmp_path, "d.csv", "text\nfirst\nsecond\n")
    options = PayloadOptions(api="http", template=template, dataset=rows, method="PUT", path="/echo")
    payloads = make_payloads(TARGET, "m", 0, options)
    head, body, raw = split(payloads.request(1, 7))
    assert len(payloads) == 2
    assert body == {"id": "0000000007", "text": "second"}
    assert head[0] == "PUT /echo HTTP/1.1"
    assert f"Content-Length: {len(raw)}" in head
    assert "Content-Type: application/json" in head


def test_a_get_has_no_body_and_the_id_may_stand_in_path_and_headers():
    options = PayloadOptions(
        api="http", method="GET", path="/items/{{id}}?x=1", headers=("X-Request: {{id}}",)
    )
    request = make_payloads(TARGET, "m", 0, options).request(0, 7).decode()
    assert request.startswith("GET /items/0000000007?x=1 HTTP/1.1\r\n")
    assert "\r\nX-Request: 0000000007\r\n" in request
    assert request.endswith("\r\n\r\n")
    assert "Content-" not in request


def test_a_body_without_the_id_is_sent_as_it_is(tmp_path):
    options = PayloadOptions(api="http", template=write(tmp_path, "t", "ping"), content_type="text/plain")
    first, second = (make_payloads(TARGET, "m", 0, options).request(0, index) for index in (1, 2))
    assert first == second
    assert first.endswith(b"\r\nContent-Length: 4\r\n\r\nping")


def test_random_rows_are_sent_without_asking_anybody():
    payloads = make_payloads(TARGET, "m", 3, PayloadOptions(api="oip", random="x:INT64[2,2]:5..6"))
    (tensor,) = body_of(payloads)["inputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("x", "INT64", [1, 2, 2])
    assert set(tensor["data"]) <= {5, 6}
    again, other = (make_payloads(TARGET, "m", seed, PayloadOptions(random="FP32[4]")) for seed in (3, 4))
    assert body_of(again)["data"] != body_of(other)["data"]
    assert len(body_of(again)["data"]["vector"]) == 4


def test_the_open_inference_protocol_has_a_path_for_each_model():
    payloads = make_payloads(TARGET, "a/b", 0, PayloadOptions(api="oip", random="x:FP32[1]"))
    assert payloads.request(0, 0).startswith(b"POST /v2/models/a%2Fb/infer HTTP/1.1\r\n")
    own = make_payloads(TARGET._replace(path="/own"), "m", 0, PayloadOptions(api="oip", random="x:FP32[1]"))
    assert own.request(0, 0).startswith(b"POST /own HTTP/1.1\r\n")


def test_a_request_may_carry_several_rows(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.arange(5.0), label=np.zeros(5, int))
    options = PayloadOptions(api="oip", dataset=str(tmp_path / "d.npz"), input="x:FP32[]", rows="2..3")
    payloads = make_payloads(TARGET, "m", 0, options)
    sent = [body_of(payloads, payload)["inputs"][0] for payload in range(len(payloads))]
    assert [tensor["data"][0] for tensor in sent] == [0, 1, 2, 3, 4]
    assert sent[4]["data"][:2] == [4, 0]  # and round again
    assert {tuple(tensor["shape"]) for tensor in sent} == {(2,), (3,)}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"template": "t"}, "template means nothing to api 'reference'"),
        ({"api": "oip", "expect_id": "id"}, "expect_id means nothing to api 'oip'"),
        ({"api": "http", "template": "t", "rows": "2"}, "rows means nothing to api 'http'"),
        ({"rows": "2"}, "only the Open Inference Protocol takes several"),
        ({"dataset": "d.csv", "random": "auto"}, "exclude each other"),
        ({"random": "FP32[1]", "input": "FP32[1]"}, "both say what the model takes"),
        ({"input": "FP32[1]"}, "the reference API need not know"),
        ({"pixels": "0:1"}, "a folder of images"),
        ({"api": "http"}, "what is the body of a POST?"),
        ({"api": "http", "method": "GET", "dataset": "d"}, "by way of a template"),
        ({"api": "http", "template": "/no/such"}, "/no/such: the template cannot be read: No such file"),
        ({"api": "http", "method": "GET", "expect_id": "a["}, "is not a path"),
        ({"tolerance": -1.0}, "give a number from 0"),
        ({"api": "oip", "random": "x:FP32[1]", "rows": "0"}, "'0' is none of 1..256"),
        ({"api": "oip", "random": "x:FP32[1]", "rows": "3..2"}, "'3..2' is none of"),
        ({"api": "oip", "random": "x:FP32[1]", "rows": "999"}, "'999' is none of"),
        ({"dataset": "/no/such.csv"}, "no such dataset"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, reason):
    with pytest.raises(UsageError) as error:
        make_payloads(TARGET, "m", 0, PayloadOptions(**options))
    assert reason in str(error.value)
