"""
StreamBox inside one's own asyncio program: no HTTP, the same batching and workers.

    python examples/library.py
"""

from __future__ import annotations

import asyncio

from streambox.config import parse_config
from streambox.models.digits import heldout
from streambox.serving import Serving

CONFIG = """
batcher: {time_window: 5ms, max_batch_size: 32}
models:
  digits: {builtin: digits}
"""


async def main() -> float:
    """Classify the held-out digits, each by a call of its own; returns the share that came out right."""
    images, labels = heldout()
    async with Serving(parse_config(CONFIG)) as serving:
        answers = await asyncio.gather(
            *(serving.infer("digits", {"image": images[index : index + 1]}) for index in range(len(images)))
        )
    right = sum(
        int(answer["probabilities"].argmax()) == label for answer, label in zip(answers, labels, strict=True)
    )
    return right / len(labels)


if __name__ == "__main__":
    print(f"{asyncio.run(main()):.1%} of the held-out digits recognised")
