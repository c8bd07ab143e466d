"""What the documents say of traces and processes is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from commands import call_workload
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


def test_the_example_of_durations_runs_on_a_trace_like_its_own(tmp_path, monkeypatch, capsys):
    """Two functions, of which the second takes 430 ms whenever it is called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "invocations.csv").write_text(
        "HashOwner,HashApp,HashFunction,Trigger,1,2\no,a,f,http,90,90\no,a,g,queue,2,1\n"
    )
    (tmp_path / "durations.csv").write_text(
        "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_100\n"
        "o,a,g,430,3,430,430,430,430\n"
    )
    given = ("--durations", "durations.csv", "--map", "top-k:2", "--models", "resize,index", "--payloads", 1)
    call_workload("import", "invocations.csv", "--out", "hour.parquet", *given)
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", TRACES, re.DOTALL) if "replay" in code]
    exec(compile(example, "traces.md", "exec"), {"__name__": "example"})  # noqa: S102 - our own document
    constant, drawn = capsys.readouterr().out.splitlines()
    assert constant == "constant: 1.000"
    assert drawn == "drawn: 1.000"
