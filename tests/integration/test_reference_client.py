"""The reference's own client: serial posts of four whole numbers to ``resnet50``, no configuration."""

from __future__ import annotations

import http.client
import json
import random

from support import running

BODIES = random.Random(0)


def test_serial_posts_of_four_numbers_to_resnet50_are_answered_200() -> None:
    """Without a ``models:`` section both built-in models are served; resnet50 loads at its first request."""
    with running("batcher: {port: 0}\n") as server:
        assert sorted(server.serving.models) == ["digits", "resnet50"]
        assert not server.serving.models["resnet50"].ready
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=100)
        for _ in range(3):
            vector = [BODIES.randint(1, 99) for _ in range(4)]
            body = json.dumps({"request_id": "0", "model": "resnet50", "data": {"vector": vector}})
            connection.request("POST", "/api/batcher", body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            answer = json.loads(reply.read())
            assert reply.status == 200, answer
            assert (answer["request_id"], answer["model"]) == ("0", "resnet50")
            assert len(answer["output"]) == 1000
            assert answer["batch"]["size"] == 1
            assert answer["batch"]["reason"] == "timewindow"
        connection.close()


def test_the_spec_that_is_known_before_resnet50_is_loaded_is_the_loaded_ones() -> None:
    """Requests are checked against it while the model is not there yet."""
    from streambox import serving

    with running("batcher: {port: 0}\nmodels: {resnet50: {builtin: resnet50}}\n") as server:
        assert server.serving.models["resnet50"].spec == serving._SPEC_BEFORE_LOAD["resnet50"]
