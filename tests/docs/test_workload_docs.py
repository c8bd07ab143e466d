"""What the documents say of traces and processes is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from streambox.commands.load import load
from streambox.commands.trace_options import OF_A_TRACE
from streambox.commands.workload import workload
from streambox.workload.fit import MODELS
from streambox.workload.processes import PROCESSES, parse_process
from streambox.workload.traces import FORMATS

DOCS = Path(__file__).parent.parent.parent / "docs"
TRACES = (DOCS / "traces.md").read_text(encoding="utf-8")
WORKLOADS = (DOCS / "workloads.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(?:\$ )?streambox ((?:.+\\\n)*.+)$", TRACES + WORKLOADS, flags=re.MULTILINE)


@pytest.mark.parametrize("name", FORMATS)
def test_every_trace_format_is_documented(name):
    assert f"| `{name}` |" in TRACES


@pytest.mark.parametrize("option", OF_A_TRACE.values())
def test_every_option_of_a_trace_is_documented(option):
    assert option in TRACES


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_is_documented_with_its_parameters(name):
    (row,) = [line for line in WORKLOADS.splitlines() if line.startswith(f"| `{name}` |")]
    parameters = row.split("|")[2]
    for each in msgspec.structs.fields(PROCESSES[name]):
        assert re.search(rf"\b{each.encode_name}\b", parameters), each.encode_name


def test_every_model_to_fit_is_documented():
    assert ",".join(MODELS) in WORKLOADS


@pytest.mark.parametrize("text", re.findall(r"--process ([a-z0-9]+:[^\s`']+)", WORKLOADS))
def test_every_process_in_an_example_is_one(text):
    assert parse_process(text).name == text.partition(":")[0]


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if "[" not in c and c.startswith(("load ", "workload "))]
)
def test_every_command_in_an_example_has_options_that_there_are(command):
    words = command.replace("\\\n", " ").partition("#")[0].replace("'", "").split()
    group = {"load": load, "workload": workload}[words[0]]
    command = group if words[0] == "load" else group.commands[words[1]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
