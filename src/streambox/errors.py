"""
Every error a user can meet, each with its code and HTTP status.

A message is one line, names the cause and, where there is one, the fix.
Which status: 4xx is the caller's, 429 the caller's quota, 502 the model's answer,
503 our capacity, 504 the request's deadline.
"""

from __future__ import annotations

from typing import ClassVar


class StreamBoxError(Exception):
    """
    Base of every error we raise on purpose. ``str(error)`` is fit to show to a user.

    ``request_id`` is the caller's name for the request it is about, where that is known.
    ``challenge`` is how a caller is to say who it is, as ``WWW-Authenticate`` has it.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    challenge: ClassVar[str | None] = None
    retry_after_s: int | None = None
    request_id: str | None = None


# ---- command line -------------------------------------------------------------------------------


class UsageError(StreamBoxError):
    """Wrong options or input files: exit code 2."""

    code = "usage"


class ConfigError(UsageError):
    """The configuration cannot be used; names the key."""

    code = "config"


class RunFailed(StreamBoxError):
    """A run that started and could not be carried through: exit code 1."""

    code = "run_failed"


# ---- the request itself -------------------------------------------------------------------------


class BadRequest(StreamBoxError):
    """The request cannot be understood; names the field."""

    code = "bad_request"
    status = 400


class UnknownModel(StreamBoxError):
    code = "unknown_model"
    status = 404


class NotFound(StreamBoxError):
    code = "not_found"
    status = 404


class MethodNotAllowed(StreamBoxError):
    code = "method_not_allowed"
    status = 405


class SlowRequest(StreamBoxError):
    """Head or body did not arrive in time."""

    code = "request_timeout"
    status = 408


class BodyTooLarge(StreamBoxError):
    code = "body_too_large"
    status = 413


class UnsupportedMediaType(StreamBoxError):
    code = "unsupported_media_type"
    status = 415


class HeadersTooLarge(StreamBoxError):
    code = "headers_too_large"
    status = 431


# ---- admission ----------------------------------------------------------------------------------


class Refused(StreamBoxError):
    """Not accepted: the request never entered a queue."""

    code = "refused"
    status = 503
    retry_after_s = 1


class QuotaExceeded(Refused):
    """A limit of the tenant's own: its rate, or what it may have in the system."""

    code = "quota_exceeded"
    status = 429


class Forbidden(StreamBoxError):
    """The tenant is known and may not ask for this."""

    code = "forbidden"
    status = 403


class Unauthorized(StreamBoxError):
    """No key, or one that nobody has."""

    code = "unauthorized"
    status = 401
    challenge = 'Bearer realm="streambox"'


class Hopeless(Refused):
    """The request's deadline would pass while it waits: an idle system could have met it."""

    code = "deadline_hopeless"


class QueueFull(Refused):
    code = "queue_full"


class BuffersFull(Refused):
    code = "buffers_full"


class Draining(Refused):
    code = "draining"


class CircuitOpen(Refused):
    """The model's workers have failed several times in a row: it is left alone for a while."""

    code = "circuit_open"


class RetryBudgetSpent(Refused):
    """The request would have to run again for no fault of its own, and enough of that was done."""

    code = "retry_budget_spent"


class Quarantined(StreamBoxError):
    """An input that has failed by itself more than once lately; it is not run."""

    code = "quarantined"
    status = 422


class ModelUnavailable(Refused):
    """The model is known but cannot be loaded, now."""

    code = "model_unavailable"


# ---- after acceptance ---------------------------------------------------------------------------


class RowFailed(StreamBoxError):
    """The model refused this row, and this row alone."""

    code = "row_failed"
    status = 422


class BatchFailed(StreamBoxError):
    """A batch of several failed whose requests may not be run again, to find out whose fault it was."""

    code = "batch_failed"


class WorkerDied(StreamBoxError):
    """A worker process died on this row, alone in its batch; or with others, none of which may run again."""

    code = "worker_died"
    status = 500


class BadModelOutput(StreamBoxError):
    """The model's answer cannot be passed on: wrong row count, non-finite over JSON, …"""

    code = "bad_model_output"
    status = 502


class DeadlineExceeded(StreamBoxError):
    code = "deadline_exceeded"
    status = 504


# ---- raised by a user's model -------------------------------------------------------------------


class RowError(Exception):
    """
    Raised by a ``python`` model to refuse one row of its batch.

    The row's request fails with 422 and *message*; the others run again without it.
    """

    def __init__(self, index: int, message: str) -> None:
        super().__init__(f"row {index}: {message}")
        self.index = index
        self.message = message
