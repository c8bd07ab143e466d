"""``streambox tenant key``, as a newcomer uses it."""

from __future__ import annotations

import re

import pytest
import yaml
from click.testing import CliRunner

from streambox.commands.tenant import tenant
from streambox.config import parse_config
from streambox.errors import ConfigError
from streambox.roster import Roster


def call(*arguments: str):
    return CliRunner().invoke(tenant, ["key", *arguments])


def test_a_key_comes_with_its_line_for_the_configuration_and_works():
    lines = call("acme").output.splitlines()
    secret = lines[1]
    (entry,) = yaml.safe_load(lines[3])
    text = f"tenants:\n- name: acme\n  keys:\n  {lines[3]}\n"
    found = Roster(parse_config(text).tenants, 0).holder(secret.encode())
    assert found is not None
    assert found.name == "acme"
    assert set(entry) == {"id", "sha256"}
    assert secret not in lines[3]


def test_no_two_keys_nor_their_ids_are_alike():
    outputs = [call("acme").output.splitlines() for _ in range(20)]
    assert len({lines[1] for lines in outputs}) == 20
    assert len({re.search("id: ([^,]+)", lines[3])[1] for lines in outputs}) == 20


def test_an_id_may_be_given():
    assert "- {id: laptop, sha256:" in call("acme", "--id", "laptop").output


@pytest.mark.parametrize("arguments", [["a b"], [""], ["acme", "--id", "a: b"]])
def test_a_name_that_the_configuration_would_not_take_is_refused(arguments):
    result = call(*arguments)
    assert isinstance(result.exception, ConfigError)
    assert "is letters, digits" in str(result.exception)
    assert result.output == ""
