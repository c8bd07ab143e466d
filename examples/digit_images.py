"""
The held-out digits as a folder of images, for ``streambox load --dataset digits/ --pixels 0:16``.

    python examples/digit_images.py digits/
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from streambox.loadgen.rows import predict_digits
from streambox.models.digits import heldout


def main(folder: Path) -> None:
    images, _ = heldout()
    answers = predict_digits(images).argmax(axis=1)  # what the model says, not what was written
    for number, (pixels, answer) in enumerate(zip(images, answers, strict=True)):
        path = folder / str(answer) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(pixels / 16 * 255).astype(np.uint8)).save(path)
    print(f"{folder}: {len(images)} images")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "digits"))
