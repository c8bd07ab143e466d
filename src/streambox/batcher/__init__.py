"""The batching core: requests, queues, policy, batches, and the scheduler that joins them."""

from streambox.batcher.batch import Batch, FlushReason
from streambox.batcher.interface import Batcher, Engine, QueueSettings
from streambox.batcher.policy import Flush, Policy, SlotView, Wait, WindowPolicy
from streambox.batcher.request import PendingRequest, State
from streambox.batcher.scheduler import Scheduler
from streambox.batcher.served_model import ServedModel
from streambox.batcher.streambox import StreamBoxBatcher

__all__ = [
    "Batch",
    "Batcher",
    "Engine",
    "Flush",
    "FlushReason",
    "PendingRequest",
    "Policy",
    "QueueSettings",
    "Scheduler",
    "ServedModel",
    "SlotView",
    "State",
    "StreamBoxBatcher",
    "Wait",
    "WindowPolicy",
]
