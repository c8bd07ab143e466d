"""What ``streambox load`` cannot be asked for: one line that names the cause, exit code 2, nothing sent."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from streambox.cli import main

FILES = {
    "empty": b"",
    "blank": b" \n\t ",
    "negative": b"3 -2 1",
    "fractional": b"3 1.5",
    "nan": b"3 nan",
    "huge": b"999999999999 999999999999",
    "digits": b"9" * 400,
    "superscript": "3²".encode(),
    "junk": bytes(range(256)),
    "idle": b"0 0 0",
    "counts": b"1 2 3",
    "bad.yaml": b"load_generator: {multiple: .nan, host: 'a b'}",
    "gap.yaml": b"load_generator: {gap_time: 0, len: 3}",
    "host.yaml": b'load_generator: {host: "a\\r\\nX: y"}',
    "nan.csv": b"1,2\n3,nan\n",
    "junk.csv": bytes(range(256)),
    "empty.csv": b"",
    "junk.npz": bytes(range(256)),
    "ragged.jsonl": b'{"vector": [1, [2]]}\n',
    "half.jsonl": b'{"vector": [1, 2\n',
    "notes.txt": b"1 2 3",
    "calls.jsonl": b'{"t": 0, "model": "a", "tenant": "acme"}\n{"t": 1, "model": "b", "tenant": "zoo"}\n',
    "mix.yaml": b"streams: [{model: a, tenant: acme, rate: 9/s}, {model: b, tenant: zoo, rate: 9/s}]\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the command is called; the files are in it."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    np.savez(tmp_path / "pickled.npz", x=np.array([{}]))
    monkeypatch.chdir(tmp_path)
    for name in ("CONFIG_FILE", "SERVERLESS_ENV"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


PATTERNS = [
    ("--workload-file empty", "empty: is empty"),
    ("--workload-file blank", "blank: is empty"),
    ("--workload-file negative", "negative: count 2 is '-2'"),
    ("--workload-file fractional", "fractional: count 2 is '1.5'"),
    ("--workload-file nan", "nan: count 2 is 'nan'"),
    ("--workload-file huge", "2e+12 requests, the most is"),
    ("--workload-file digits", "count 1 is 99999999999999999999…: too large"),
    ("--workload-file superscript", "superscript: cannot be read as a workload"),
    ("--workload-file junk", "junk: cannot be read as a workload"),
    ("--workload-file idle", "no request at all"),
    ("--workload-file missing", "missing: no such workload file"),
    ("--workload-file .", ".: cannot be read as a workload"),
    ("--workload-dir missing", "bursty-load.txt: no such workload file"),
    ("--workload-file counts --len 4", "len is 4, but the workload has only 3 time units"),
    ("--workload-file counts --len 0", "len is 0"),
    ("--workload-file counts --len -1", "len is -1"),
    ("--workload-file counts --len 1.5", "'1.5' is not a valid integer"),
    ("--workload-file counts --gap-time 0", "gap_time is 0"),
    ("--workload-file counts --gap-time -1", "gap_time is -1"),
    ("--workload-file counts --gap-time 1 --lap-time -1", "lap_time is -1"),
    ("--workload-file counts --gap-time 1 --lap-time 99999999999", "time units, the most is"),
    ("--workload-file counts --multiple -1", "multiple is -1.0"),
    ("--workload-file counts --multiple nan", "multiple is nan"),
    ("--workload-file counts --multiple inf", "multiple is inf"),
    ("--workload-file counts --multiple 1e30", "multiple is 1e+30"),
    ("--workload-file counts --multiple much", "'much' is not a valid float"),
    ("--workload-file counts --time-unit 1", "has no unit"),
    ("--workload-file counts --time-unit 99999999h", "too large to be a duration"),
    ("--type wavy", "'wavy' is not one of"),
    ("--config bad.yaml", "host name"),
    ("--config bad.yaml --host localhost", "multiple is nan"),
    ("--config gap.yaml", "gap_time is 0"),
    ("--config missing.yaml", "missing.yaml: no such file"),
    ("--config junk", "junk: cannot be read"),
]
RATES = [
    ("--rate nan", "the rate is nan/s"),
    ("--rate inf", "the rate is inf/s"),
    ("--rate -5", "the rate is -5/s"),
    ("--rate 0", "the rate is 0/s"),
    ("--rate 1e300", "the rate is 1e+300/s"),
    ("--rate 1e9", "the rate is 1e+09/s: give a number above 0 and below 1e+09"),
    ("--rate 9e8 --duration 1h", "requests, the most is"),
    ("--rate fast", "'fast' is not a valid float"),
    ("--rate 1 --duration 0s", "no time at all"),
    ("--rate 1 --duration -1s", "'-1s' is not a duration"),
    ("--rate 1 --duration 10", "has no unit"),
    ("--rate 1 --duration 99999999h", "too large to be a duration"),
    ("--rate 1 --warm-up 20s --cool-down 20s", "leave nothing of the run"),
    ("--process wavy", "no arrival process 'wavy'"),
    ("--process poisson:rate=nan", "rate is nan"),
    ("--schedule missing", "missing: no such schedule file"),
    ("--schedule empty", "empty: not a schedule of ours"),
    ("--schedule junk", "junk: not a schedule of ours"),
    ("--concurrency 0", "0 is not in the range"),
    ("--concurrency 2 --duration 1s --warm-up 1s", "leave nothing of the run"),
]
SENDING = [
    ("--connections 0", "0 is not in the range"),
    ("--timeout 0s", "no time at all"),
    ("--seed -1", "-1 is not in the range"),
    ("--url http://", "names no host"),
    ("--url http://[::1/", "not a URL"),
    ("--url http://a..b/", "'a..b' is no host name"),
    (f"--url http://{'a' * 64}/", "is no host name"),
    ("--url http://localhost:0/", "port 0"),
    ("--url http://localhost:99999/", "not a URL"),
    ("--url ftp://localhost/", "only http://"),
    ("--url unix://socket", "three slashes"),
    ("--config host.yaml", "is no host name"),
    ("--path batcher", "slash"),
    ("--url https://localhost/ --ca missing", "missing: no certificates can be read"),
    ("--url https://localhost/ --ca junk", "junk: no certificates can be read"),
    (
        "--port 1 --ca junk",
        "--ca is about TLS, and http://localhost:1/api/batcher is without: give --url https",
    ),
    ("--url http://localhost:1/ --no-verify", "--no-verify is about TLS"),
    ("--url unix:///x/s --no-verify", "--no-verify is about TLS, and unix:///x/s"),
    ("find-max --slo p99<1ms --port 1 --no-verify", "--no-verify is about TLS"),
    ("sweep --out x --rates 1,2 -- --port 1 --ca junk", "--ca is about TLS"),
    ("--header nonsense", "a header is not written as"),
    ("--dataset missing.csv", "missing.csv: no such dataset"),
    ("--dataset notes.txt", "a dataset is a file ending in"),
    ("--dataset nan.csv", "nan.csv:2: holds a NaN"),
    ("--dataset junk.csv", "junk.csv"),
    ("--dataset empty.csv", "empty.csv: holds no rows"),
    ("--dataset junk.npz", "junk.npz"),
    ("--dataset pickled.npz", "pickled.npz"),
    ("--dataset ragged.jsonl", "ragged.jsonl:1: input '' is not rectangular"),
    ("--dataset half.jsonl", "half.jsonl:1: not JSON"),
    ("--slo fast", "'fast' is no objective"),
    ("--slo p99<nanms", "'nanms' is not a duration"),
    ("--slo tenant=nobody:p99<1ms", "is about no request: the run has no tenants, leave tenant= out"),
    ("--slo model=zzz:ok>99%", "'model=zzz:ok>99%' is about no request: the models are digits"),
    ("--rate 1 --repeats 2 --slo model=zzz:ok>99%", "is about no request"),
    ("--concurrency 2 --slo model=zzz:ok>99%", "is about no request"),
    ("--rate 1 --out counts", "counts: cannot be written"),
    ("--rate 1 --out counts/run", "counts/run: cannot be written"),
    ("--nonsense", "No such option '--nonsense'"),
    ("nonsense", "No such command 'nonsense'"),
    ("recover", "Missing argument 'FOLDER'"),
    ("recover missing", "missing: no run to recover"),
    ("recover counts", "counts: cannot be recovered"),
    ("find-max", "Missing option '--slo'"),
    ("find-max --slo p99<1ms --from nan", "the first rate must be above 0"),
    ("find-max --slo p99<1ms --from 9 --to 5", "not above the highest"),
    ("find-max --slo p99<1ms --segment 0s", "no time at all"),
    ("find-max --slo tenant=nobody:p99<1ns", "is about no request: the run has no tenants"),
    ("find-max --slo ok>9% --slo model=zzz:ok>99%", "'model=zzz:ok>99%' is about no request"),
    ("find-max --model mine --slo model=digits:ok>9%", "the models are mine"),
    ("sweep --out x --rates 1,2 -- --slo model=zzz:ok>99%", "is about no request: the models are digits"),
]


@pytest.mark.parametrize(("arguments", "cause"), [*PATTERNS, *RATES, *SENDING])
def test_what_cannot_be_is_one_line_that_names_the_cause(arguments, cause, folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["streambox", "load", *arguments.split()])
    with pytest.raises(SystemExit) as exited:
        main()
    out, err = capsys.readouterr()
    assert (exited.value.code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("streambox: ")
    assert cause in line


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (
            "--trace calls.jsonl --slo tenant=acme:p99<1s --slo tenant=nobody:ok>9%",
            "the tenants are acme, zoo",
        ),
        ("--mix mix.yaml --slo model=zzz:ok>9%", "the models are a, b"),
        ("--mix mix.yaml --slo tenant=acme:model=b:ok>9%", "go together as a/acme, b/zoo"),
    ],
)
def test_an_objective_about_nobody_in_a_trace_or_mix_is_found_before_anything_is_sent(
    arguments, cause, folder, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["streambox", "load", *arguments.split()])
    with pytest.raises(SystemExit) as exited:
        main()
    out, err = capsys.readouterr()
    assert (exited.value.code, out) == (2, "")
    assert "is about no request" in err.splitlines()[-1]
    assert cause in err.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", ["--workload-file junk", "--rate nan", "--rate 1 --out counts", "--rate x"]
)
def test_a_process_says_the_same_and_no_more(arguments, folder):
    command = [sys.executable, "-m", "streambox", "load", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_click_says_on_one_line_where_to_read_on(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["streambox", "load", "--len", "x"])
    with pytest.raises(SystemExit):
        main()
    message = "Invalid value for '--len': 'x' is not a valid integer. (streambox load --help)"
    assert capsys.readouterr().err == f"streambox: {message}\n"
