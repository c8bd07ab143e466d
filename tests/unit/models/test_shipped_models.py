"""The shipped models are what they say: accuracy, shapes, parameters, finite answers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from streambox import models
from streambox.errors import StreamBoxError
from streambox.models import digits, mlp, resnet50


def session(model: str | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def test_digits_reads_digits_it_was_not_trained_on():
    images, labels = digits.heldout()
    assert images.dtype == np.float32
    assert images.shape == (450, 8, 8)
    assert (images.min(), images.max()) == (0, 16)
    assert set(labels.tolist()) == set(range(10))
    (probabilities,) = session(str(digits.model_path())).run(["probabilities"], {"image": images})
    assert probabilities.shape == (450, 10)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == labels).mean() >= 0.97


def test_digits_heldout_images_are_the_uci_sets_own():
    datasets = pytest.importorskip("sklearn.datasets")
    known = {
        image.tobytes(): label for image, label in zip(*datasets.load_digits(return_X_y=True), strict=True)
    }
    images, labels = digits.heldout()
    assert [known.get(image.astype(np.float64).tobytes()) for image in images] == labels.tolist()


def test_resnet50_is_the_whole_network_and_answers_finitely():
    content, parameters = resnet50.generate()
    # The trained network has 25,557,032; folding the normalisation makes one value of two per channel.
    assert parameters == 25_557_032 - 26_560
    operators = [node.op_type for node in onnx.load_from_string(content).graph.node]
    assert operators.count("Conv") == 53
    assert operators.count("Add") == 16
    runner = session(content)
    image = np.resize(np.array([1, 99, 50, 7], np.float32), (1, 3, 224, 224))
    (logits,) = runner.run(["logits"], {"data": image})
    assert logits.shape == (1, 1000)
    assert np.isfinite(logits).all()
    assert logits.std() > 0.1


def test_mlp_is_bound_by_its_weights():
    content = mlp.generate()
    assert len(content) == pytest.approx(
        4 * (4 * 4096 + 2 * 4096**2 + 4096 * 1000 + 3 * 4096 + 1000), rel=1e-3
    )
    runner = session(content)
    (logits,) = runner.run(["logits"], {"vector": np.ones((2, 4), np.float32)})
    assert logits.shape == (2, 1000)
    assert np.isfinite(logits).all()


def test_generated_weights_are_the_same_each_time():
    from streambox.models.graph import GraphBuilder

    def small() -> bytes:
        builder = GraphBuilder(seed=3)
        builder.add("MatMul", "x", builder.he_normal((4, 2), 4), output="y")
        return builder.build("small", ("x", ("N", 4)), ("y", ("N", 2)))

    assert small() == small()


def test_the_registry_serves_digits_and_a_lazy_tiled_resnet50():
    assert list(models.BUILTIN) == ["digits", "resnet50"]
    assert not models.BUILTIN["digits"].lazy
    assert models.BUILTIN["resnet50"].lazy
    assert models.BUILTIN["resnet50"].options.preprocess == "tile"
    assert models.model_path("digits").is_file()
    with pytest.raises(StreamBoxError, match="there are: digits, resnet50, mlp"):
        models.model_path("vgg")
