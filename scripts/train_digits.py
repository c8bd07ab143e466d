"""
Train the shipped digits classifier: ``python scripts/train_digits.py``.

Real data: the UCI set of handwritten digits that scikit-learn carries (1797 images of 8x8). A
seeded quarter, split by class, is held out and shipped beside the model as the demo's input.
Writes ``digits.onnx`` and ``digits_heldout.npz``; the same versions give the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from streambox.models.graph import GraphBuilder

FOLDER = Path(__file__).parents[1] / "src" / "streambox" / "models"
SEED = 20
PIXEL_MAX = 16.0


def main() -> None:
    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(
        digits.images, digits.target, test_size=0.25, random_state=SEED, stratify=digits.target
    )
    model = MLPClassifier((64,), alpha=1e-2, max_iter=400, random_state=SEED)
    model.fit(train_x.reshape(-1, 64) / PIXEL_MAX, train_y)
    accuracy = model.score(test_x.reshape(-1, 64) / PIXEL_MAX, test_y)
    (FOLDER / "digits.onnx").write_bytes(to_onnx(model))
    save_heldout(FOLDER / "digits_heldout.npz", test_x.astype(np.uint8), test_y.astype(np.uint8))
    print(f"trained on {len(train_x)} images; accuracy on {len(test_x)} held out: {accuracy:.4f}")  # noqa: T201


def to_onnx(model: Any) -> bytes:
    """The pixel scale is folded into the first layer's weights, so that the model takes raw pixels."""
    builder = GraphBuilder()
    scales = [1 / PIXEL_MAX] + [1.0] * (len(model.coefs_) - 1)
    x = builder.add("Flatten", "image")
    for number, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        x = builder.add("Relu", x) if number else x
        scaled = builder.weight((weights * scales[number]).astype(np.float32))
        x = builder.add("Gemm", x, scaled, builder.weight(bias.astype(np.float32)))
    builder.add("Softmax", x, output="probabilities", axis=1)
    return builder.build("digits", ("image", ("N", 8, 8)), ("probabilities", ("N", 10)))


def save_heldout(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """An ``.npz`` whose bytes do not depend on the clock, unlike numpy's own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in (("images", images), ("labels", labels)):
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
