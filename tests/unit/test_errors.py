import re

import pytest

import streambox
from streambox import errors
from streambox.executor.base import LoadFailed


def kinds(base=errors.StreamBoxError):
    return [base, *(kind for sub in base.__subclasses__() for kind in kinds(sub))]


def ours():
    return [kind for kind in kinds() if kind.__module__.startswith("streambox.")]


@pytest.mark.parametrize("kind", ours(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_and_a_status_that_says_it_is_one(kind):
    assert re.fullmatch(r"[a-z_]+", kind.code)
    assert 400 <= kind.status <= 599


def test_every_kind_has_a_code_of_its_own():
    codes = [kind.code for kind in ours()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", kinds(errors.Refused), ids=lambda kind: kind.__name__)
def test_every_refusal_says_when_to_come_again(kind):
    """503 is for want of our capacity, 429 for the tenant's quota."""
    assert (kind.status, kind.retry_after_s) == (429 if kind is errors.QuotaExceeded else 503, 1)


def test_every_429_and_503_that_admission_gives_has_a_retry_after():
    bare = [kind for kind in ours() if kind.status in (429, 503) and kind.retry_after_s is None]
    assert bare == [LoadFailed]  # never a reply: what a caller sees of it is ModelUnavailable


STATUSES = [
    (errors.BadRequest, 400),
    (errors.UnknownModel, 404),
    (errors.MethodNotAllowed, 405),
    (errors.SlowRequest, 408),
    (errors.BodyTooLarge, 413),
    (errors.UnsupportedMediaType, 415),
    (errors.RowFailed, 422),
    (errors.HeadersTooLarge, 431),
    (errors.BadModelOutput, 502),
    (errors.DeadlineExceeded, 504),
]


@pytest.mark.parametrize(
    ("kind", "status"), STATUSES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_statuses_are_the_documented_ones(kind, status):
    assert kind.status == status


def test_a_config_error_is_a_usage_error():
    assert issubclass(errors.ConfigError, errors.UsageError)


def test_a_row_error_names_its_row():
    error = streambox.RowError(3, "not a cat")
    assert (error.index, error.message, str(error)) == (3, "not a cat", "row 3: not a cat")
