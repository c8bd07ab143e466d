"""``streambox config check|show``, through the command line's own front."""

import sys

import pytest

from streambox import cli
from streambox.config import parse_config


@pytest.fixture
def streambox(monkeypatch, capsys):
    for name in ("CONFIG_FILE", "SERVERLESS_ENV"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["streambox", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        out, err = capsys.readouterr()
        return exited.value.code, out, err

    return call


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "c.yaml"
    made.write_text("gin: {port: 81}")
    return made


def test_check_says_that_a_file_is_valid(streambox, file):
    assert streambox("config", "check", file) == (0, f"{file}: valid\n", "")


def test_check_names_the_fault_in_one_line_and_exits_with_2(streambox, file):
    file.write_text("gin: {prt: 81}")
    code, out, err = streambox("config", "check", file)
    assert (code, out) == (2, "")
    assert err == f"streambox: {file}: unknown key 'gin.prt': did you mean 'port'?\n"


def test_show_prints_what_is_in_effect_as_yaml_that_can_be_read_back(streambox, file):
    code, out, _ = streambox("config", "show", "--config", file)
    assert code == 0
    assert out.startswith(f"# from {file}\n")
    assert parse_config(out) == parse_config("gin: {port: 81}")
    assert "time_window: 100ms" in out


def test_show_of_what_is_not_valid_prints_nothing_but_the_fault(streambox, file):
    file.write_text("gin: {prt: 81}")
    code, out, err = streambox("config", "show", "--config", file)
    assert (code, out) == (2, "")
    assert "unknown key 'gin.prt'" in err


def test_show_without_a_file_says_so(streambox):
    code, out, _ = streambox("config", "show")
    assert (code, out.splitlines()[0]) == (0, "# defaults: no configuration file is named")


def test_an_unknown_command_is_a_usage_error(streambox):
    assert streambox("conifg")[0] == 2


def test_help_lists_the_commands_without_loading_them(streambox):
    code, out, _ = streambox("--help")
    assert code == 0
    assert all(name in out for name in ("serve", "load", "workload", "config", "demo"))
