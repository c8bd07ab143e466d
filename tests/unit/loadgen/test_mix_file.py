"""The mix file: what its keys mean, and what is said of those that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streambox.errors import ConfigError
from streambox.loadgen.mix_file import parse_mix, read_mix
from streambox.loadgen.payload import PayloadOptions
from streambox.workload.schedule import Lane

if TYPE_CHECKING:
    from streambox.loadgen.mix import Mix, Stream

SECOND = 1_000_000_000


def stream_of(text: str, **common) -> Stream:
    return parse_mix(f"streams: [{{model: m, {text}}}]", common=PayloadOptions(**common)).streams[0]


def test_a_whole_mix_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("ACME_KEY", "k1")
    (tmp_path / "rows.npz").touch()
    (tmp_path / "mix.yaml").write_text("""
duration: 60s
seed: 3
rate: 500/s
streams:
  - tenant: acme
    model: digits
    process: "gamma:rate=100,cv=3"
    key: "${ACME_KEY}"
    slo: ["p99<50ms"]
    weight: 2
  - {tenant: beta, model: digits, type: bursty, multiple: 0.1, len: 60, dataset: rows.npz}
  - {tenant: gamma, model: echo, rate: 20/s, arrivals: constant, template: body.json, path: /echo, api: http}
""")
    mix = read_mix(tmp_path / "mix.yaml")
    assert (mix.duration_ns, mix.seed, mix.rate_per_s) == (60 * SECOND, 3, 500)
    acme, beta, gamma = mix.streams
    assert (acme.lane, acme.weight, acme.workload.process) == (
        Lane("digits", "acme"),
        2,
        "gamma:rate=100,cv=3",
    )
    assert acme.payloads.headers == ("Authorization: Bearer k1",)
    assert (acme.objectives[0].tenant, acme.objectives[0].model) == ("acme", "digits")
    assert acme.objectives[0].text == "tenant=acme:model=digits:p99<50ms"
    assert (beta.workload.multiple, beta.workload.length) == (0.1, 60)
    assert beta.payloads.dataset == str(tmp_path / "rows.npz")
    assert (gamma.workload.rate_per_s, gamma.workload.arrivals) == (20, "constant")
    assert (gamma.payloads.api, gamma.payloads.path) == ("http", "/echo")
    assert gamma.payloads.template == str(tmp_path / "body.json")
    assert gamma.chosen == {"rate_per_s", "arrivals"}


def test_what_all_streams_have_in_common_stands_where_they_do_not_say():
    common = {"api": "oip", "headers": ("X: 1",)}
    assert stream_of("rate: 1/s", **common).payloads.api == "oip"
    assert stream_of("rate: 1/s", **common).payloads.headers == ("X: 1",)
    own = stream_of("rate: 1/s, api: reference, headers: ['Y: 2']", **common).payloads
    assert (own.api, own.headers) == ("reference", ("X: 1", "Y: 2"))


def test_a_key_may_lie_in_a_file(tmp_path):
    (tmp_path / "key").write_text("k2\n")
    mix = parse_mix("streams: [{model: m, rate: 1/s, key_file: key}]", tmp_path)
    assert mix.streams[0].payloads.headers == ("Authorization: Bearer k2",)


def test_variables_are_filled_in_everywhere_and_a_key_is_taken_as_it_is(monkeypatch):
    monkeypatch.setenv("RATE", "5/s")
    monkeypatch.setenv("KEY", "@12: [x")
    stream = stream_of('rate: "${RATE}", weight: "${NONE:2}", key: "${KEY}", headers: ["X: ${KEY}"]')
    assert (stream.workload.rate_per_s, stream.weight) == (5, 2)
    assert stream.payloads.headers == ("X: @12: [x", "Authorization: Bearer @12: [x")


def test_an_objective_without_a_tenant_is_not_everybodys():
    stream = stream_of("rate: 1/s, slo: ['ok>99%']")
    assert (stream.objectives[0].tenant, stream.objectives[0].model) == ("", "m")


def test_what_the_recipe_tells_has_no_secret(monkeypatch):
    monkeypatch.setenv("KEY", "s3cret")
    stream = stream_of(
        'tenant: t, rate: 1/s, key: "${KEY}", headers: ["X: s3cret"], api: oip, slo: ["ok>9%"]'
    )
    assert stream.told == {"model": "m", "tenant": "t", "api": "oip", "slo": ["ok>9%"]}


BAD = [
    ("", "expected a list of streams"),
    ("streams: []", "expected a list of streams"),
    ("[1]", "expected a list of streams"),
    ("streams: [5]", "streams.0: expected keys such as model: and rate:, got int"),
    ("streams: [{1: 2}]", "streams.0: expected keys"),
    ("strems: [{model: m}]", "expected a list of streams"),
    ("durtion: 5s\nstreams: [{model: m}]", "unknown key 'mix.durtion': did you mean 'duration'?"),
    ("duration: 0s\nstreams: [{model: m}]", "duration and rate are above 0"),
    ("rate: -5\nstreams: [{model: m}]", "duration and rate are above 0"),
    ("seed: -1\nstreams: [{model: m}]", "the seed is -1"),
    ("streams: [{tenant: a}]", "streams.0: model missing"),
    ("streams: [{model: m, tennant: a}]", "unknown key 'streams.0.tennant': did you mean 'tenant'?"),
    ("streams: [{model: m, multipel: 2}]", "did you mean 'multiple'?"),
    ("streams: [{model: m, tempalte: x}]", "did you mean 'template'?"),
    ("streams: [{model: m}, {model: m, len: x}]", "streams.1.len: expected"),
    ("streams: [{model: m, weight: 0}]", "streams.0: the weight is 0: give a number above 0"),
    ("streams: [{model: m, tenant: 'a b'}]", "'a b': a model or tenant has no blank"),
    ("streams: [{model: ''}]", "the model has no name"),
    (
        "streams: [{model: m, tenant: a}, {model: m}, {model: m, tenant: a}]",
        "streams.0 and streams.2 are both m/a",
    ),
    ("streams: [{model: m, slo: [p99]}]", "streams.0: 'p99' is no objective"),
    ("streams: [{model: m, slo: ['tenant=a:p99<1s']}]", "leave tenant and model out"),
    ("streams: [{model: m, path: x}]", "does not begin with a slash"),
    ("streams: [{model: m, api: http}]", "needs a template"),
    ("streams: [{model: m, rows: 3}]", "only the Open Inference Protocol takes several"),
    ("streams: [{model: m, dataset: 3}]", "streams.0.dataset: expected `str | null`, got `int`"),
    ("streams: [{model: m, key: a, key_file: b}]", "exclude each other"),
    ("streams: [{model: m, key_file: /no/such}]", "key_file: /no/such cannot be read: No such file"),
    ("streams: [{model: m, key: '${NOT_SET_ANYWHERE}'}]", "NOT_SET_ANYWHERE} is not set"),
    ("streams: [{model: m, key: a, headers: ['authorization: b']}]", "'authorization' is there twice"),
    ("streams: [{model: m, rate: 1/s, rate: 2/s}]", "given twice"),
    ("streams: [", "not valid YAML"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[row[1] for row in BAD])
def test_a_mix_that_is_wrong_is_refused_in_one_line(text, reason, tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_mix(path)
    assert reason in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["5", "'s3cret é'", "[s3cret]", "''"])
def test_a_key_that_cannot_be_used_is_not_shown(key):
    with pytest.raises(ConfigError) as error:
        parse_mix(f"streams: [{{model: m, key: {key}}}]")
    assert "s3cret" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(Exception, match=r"none\.yaml: cannot be read: No such file"):
        read_mix(tmp_path / "none.yaml")


def test_the_mix_says_which_lanes_and_objectives_there_are():
    mix: Mix = parse_mix("streams: [{model: m, slo: ['ok>9%']}, {model: n, tenant: a, slo: ['p99<1s']}]")
    assert mix.lanes == (Lane("m"), Lane("n", "a"))
    assert [objective.model for objective in mix.objectives] == ["m", "n"]
