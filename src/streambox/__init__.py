"""StreamBox Serving: dynamic batching for serverless inference, and an open-loop load generator."""

from streambox.errors import RowError, StreamBoxError

__version__ = "0.1.0"
__all__ = ["RowError", "StreamBoxError", "__version__"]
