"""The batching core under a virtual clock: the code that serves, without processes or sockets."""

from streambox.simulate.executor import SimulatedExecutor
from streambox.simulate.replay import ModelUnderTest, Replay, replay

__all__ = ["ModelUnderTest", "Replay", "SimulatedExecutor", "replay"]
