"""Named structs from text, and back."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from msgspec import field

from streambox.errors import UsageError
from streambox.workload.parameters import RATE, Family, Named, Range


class Dog(Named, frozen=True):
    name: ClassVar[str] = "dog"
    speed_per_s: float = field(name="speed")
    nap_s: float | None = field(name="nap", default=None)
    legs: int = 4
    tag: str | None = None
    size: Literal["small", "large"] = "small"

    def __post_init__(self) -> None:
        self._check(RATE, speed=self.speed_per_s)


class Cat(Named, frozen=True):
    name: ClassVar[str] = "cat"


STRICT = Family("pet", (Dog, Cat), "dog:speed=5")
BARE = Family("pet", (Dog, Cat), "dog:5", bare=True)

READ = [
    ("dog:speed=5", Dog(5.0)),
    ("dog:speed=30/m", Dog(0.5)),
    (" dog : speed = 5 , nap = 5ms ", Dog(5.0, 0.005)),
    ("dog:speed=5,legs=3,tag=a=b c,size=large", Dog(5.0, None, 3, "a=b c", "large")),
    ("cat", Cat()),
    ("cat:", Cat()),
]


@pytest.mark.parametrize(("text", "pet"), READ, ids=[row[0] for row in READ])
@pytest.mark.parametrize("family", [STRICT, BARE])
def test_text_is_read_by_the_fields_of_the_struct(family, text, pet):
    assert family.parse(text) == pet


@pytest.mark.parametrize("pet", [row[1] for row in READ])
@pytest.mark.parametrize("family", [STRICT, BARE])
def test_what_is_written_is_read_back(family, pet):
    assert family.parse(family.format(pet)) == pet


def test_the_first_parameter_may_go_without_its_name_where_the_family_says_so():
    assert BARE.parse("dog:5") == BARE.parse("dog:5,legs=4") == Dog(5.0)
    assert BARE.format(Dog(5.0)) == "dog:5"
    assert BARE.format(Dog(5.0, legs=3)) == "dog:speed=5,legs=3"  # alone only: dog:5,legs=3 reads badly
    assert STRICT.format(Dog(5.0)) == "dog:speed=5"
    with pytest.raises(UsageError, match="not parameter=value: write dog:speed=5"):
        STRICT.parse("dog:5")


BAD = [
    ("dgo:5", "no pet 'dgo': did you mean dog"),
    ("", "no pet '': choose one of dog, cat"),
    ("dog", "dog: speed missing: it takes speed, \\[nap\\], "),
    ("dog:", "speed missing"),
    ("dog:5,6", "'6' in 'dog:5,6' is not parameter=value"),
    ("dog:5,speed=6", "'speed' is in 'dog:5,speed=6' twice"),
    ("dog:5,wings=2", "takes no parameter 'wings'"),
    ("dog:fast", "dog: speed: 'fast' is not a rate"),
    ("dog:nan", "dog: speed is nan/s"),
    ("dog:-1", "dog: speed is -1/s: give a number above 0 and below 1e\\+09/s"),
    ("dog:1e999", "dog: speed is inf/s"),
    ("dog:5,nap=3", "dog: nap: '3' has no unit"),
    ("dog:5,legs=2.5", "dog: legs: '2.5' is not a whole number"),
    ("dog:5,legs=inf", "dog: legs: 'inf' is not a whole number"),
    ("dog:5,legs=nan", "dog: legs: 'nan' is not a whole number"),
    ("dog:5,size=tiny", "dog: size: 'tiny' is not one of small, large"),
    ("dog:5,tag=", "not parameter=value"),
    ("cat:5", "not parameter=value"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[row[0] or "empty" for row in BAD])
def test_what_cannot_be_read_is_refused_in_one_line_by_the_parameters_name(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        BARE.parse(text)
    assert "\n" not in str(caught.value)


def test_numbers_as_python_has_them_need_no_unit():
    assert STRICT.make("dog", {"speed": 5, "nap": 2}) == Dog(5.0, 2.0)
    with pytest.raises(UsageError, match="True is not a number"):
        STRICT.make("dog", {"speed": True})


def test_a_range_says_what_it_holds():
    assert str(Range(0, 10, " s")) == "above 0 and below 10 s"
    assert str(Range(0, 10, closed=True)) == "of 0 or more and below 10"
    assert [Range(0, 10).holds(value) for value in (0, 5, 10, float("nan"))] == [False, True, False, False]
