"""The documents say what is there, and the code keeps the rules that they state."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import msgspec
import pytest

from streambox.commands.load import load
from streambox.config import Config, parse_config
from streambox.experiments.sweep_file import parse_sweep
from streambox.loadgen.mix_file import parse_mix

ROOT = Path(__file__).parent.parent.parent
SRC = ROOT / "src" / "streambox"
MODULES = sorted(SRC.rglob("*.py"))
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Every module that *path* imports, at whatever depth, by its full name."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imports_any(path, *names):
    return {
        found for found in imports(path) for name in names if found == name or found.startswith(f"{name}.")
    }


def relative(path):
    return str(path.relative_to(ROOT))


# ---- configuration -------------------------------------------------------------------------------


def structs(hint):
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
        for inner in msgspec.structs.fields(hint):
            yield from structs(inner.type)
    for argument in getattr(hint, "__args__", ()):
        yield from structs(argument)


KEYS = sorted({name for struct in structs(Config) for name in struct.__struct_encode_fields__} - {"folder"})


@pytest.mark.parametrize("key", KEYS)
def test_every_configuration_key_is_documented(key):
    assert f"`{key}`" in (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_configurations_in_the_documents_are_valid():
    shown = [
        block
        for d in DOCUMENTS
        for block in re.findall(r"```yaml\n(.*?)```", d.read_text("utf-8"), re.DOTALL)
    ]
    assert shown
    for block in shown:
        if re.search("^(gin|batcher|models|tenants|load_generator|log):", block, re.MULTILINE):
            parse_config(block)


def test_the_sweeps_in_the_documents_are_valid(tmp_path):
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    shown = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "vary:" in block]
    assert shown
    known = {option.removeprefix("--"): False for option in load_options()}
    for block in shown:
        assert parse_sweep(block, tmp_path, known).axes


def test_the_configuration_reference_is_what_the_types_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import configuration_reference

    written = configuration_reference.TARGET.read_text(encoding="utf-8")
    assert written == configuration_reference.render(), "run: python scripts/configuration_reference.py"


def test_the_reference_of_the_mix_file_is_what_the_types_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import mix_reference

    written = mix_reference.TARGET.read_text(encoding="utf-8")
    assert written == mix_reference.render(written), "run: python scripts/mix_reference.py"


def test_the_example_of_a_mix_is_one(monkeypatch, tmp_path):
    page = (ROOT / "docs" / "mixes.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, flags=re.DOTALL)[1]
    monkeypatch.setenv("ACME_KEY", "k")
    assert len(parse_mix(example, tmp_path).streams) == 3


def load_options():
    """The long options of ``streambox load`` and its subcommands."""
    for command in (load, *load.commands.values()):
        for parameter in command.params:
            yield from (option for option in parameter.opts if option.startswith("--"))


@pytest.mark.parametrize("option", sorted(set(load_options())))
def test_every_option_of_the_load_generator_is_documented(option):
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    assert any(re.search(rf"{option}(?![\w-])", page) for page in pages)


# ---- documents -----------------------------------------------------------------------------------

NAMED = [
    (document, name)
    for document in DOCUMENTS
    for name in re.findall(
        r"`((?:src|docs|tests|examples|scripts|benchmarks)/[^`\s*{}<>…]+)`",
        document.read_text(encoding="utf-8"),
    )
]


@pytest.mark.parametrize(("document", "name"), NAMED, ids=[f"{d.name}: {name}" for d, name in NAMED])
def test_every_file_that_a_document_names_exists(document, name):
    assert (ROOT / name).exists()


def test_the_architecture_names_files():
    assert len([name for document, name in NAMED if document.name == "ARCHITECTURE.md"]) >= 20


def test_every_make_command_in_the_readme_is_a_target():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", readme, flags=re.MULTILINE))
    assert named
    assert named <= set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))


def prose(path):
    """The document without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    """What a fragment may lead to: headings, in lower case, blanks as hyphens, without their punctuation."""
    headings = re.findall(r"^#{1,6} +(.+?) *$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document):
    return re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", document.read_text(encoding="utf-8"))


def test_every_link_between_documents_leads_somewhere():
    for document in DOCUMENTS:
        for target, fragment in links(document):
            led_to = document.parent / target if target else document
            assert led_to.exists(), f"{relative(document)}: {target}"
            assert not fragment or fragment in anchors(led_to), f"{relative(document)}: {target}#{fragment}"


def test_every_document_that_an_options_help_names_exists_and_tells_of_the_option():
    named = [
        (option.opts[0], name)
        for command in (load, *load.commands.values())
        for option in command.params
        for name in re.findall(r"docs/[\w-]+\.md", getattr(option, "help", None) or "")
    ]
    assert named
    for option, name in named:
        page = (ROOT / name).read_text(encoding="utf-8")
        assert re.search(rf"{option}(?![\w-])", page), f"{option}: {name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_no_document_has_a_placeholder(document):
    assert re.findall(r"@@|\b(?:TODO|FIXME|TBD|XXX)\b", document.read_text(encoding="utf-8")) == []


# ---- import rules --------------------------------------------------------------------------------

PURE = [
    "batcher/policy.py",
    "batcher/batch.py",
    "batcher/request.py",
    "batcher/model_queue.py",
    "batcher/ordering.py",
    "batcher/sizes.py",
    "batcher/splitting.py",
    "batcher/settle.py",
    "batcher/guard.py",
    "batcher/quarantine.py",
    "batcher/breaker.py",
    "batcher/retry_budget.py",
    "batcher/expiry.py",
    "batcher/admission.py",
    "batcher/counters.py",
    "batcher/scheduler.py",
    "batcher/streambox.py",
    "workload/schedule.py",
    "loadgen/pacer.py",
]
IO = (
    "asyncio",
    "socket",
    "select",
    "selectors",
    "subprocess",
    "os",
    "pathlib",
    "uvloop",
    "uvicorn",
    "starlette",
)


@pytest.mark.parametrize("name", PURE)
def test_what_decides_has_no_clock_and_does_no_io(name):
    path = SRC / name
    assert path.exists(), f"{name} has moved: so must this rule"
    assert not imports_any(path, "asyncio", "socket", "time")


@pytest.mark.parametrize("package", ["batcher", "loadgen"])
def test_the_two_halves_never_import_each_other(package):
    other = {"batcher": "loadgen", "loadgen": "batcher"}[package]
    for path in (SRC / package).rglob("*.py"):
        assert not imports_any(path, f"streambox.{other}"), relative(path)


@pytest.mark.parametrize("path", sorted((SRC / "protocol").rglob("*.py")), ids=lambda path: path.name)
def test_the_wire_formats_do_no_io(path):
    assert not imports_any(path, *IO)
    called = {
        node.func.id
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "open" not in called


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_nothing_is_pickled_and_nothing_printed(path):
    assert not imports_any(
        path, "pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "multiprocessing"
    )
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id == "print"), f"line {node.lineno}"
            allowed = {keyword.arg: keyword.value for keyword in node.keywords}.get("allow_pickle")
            assert allowed is None or (isinstance(allowed, ast.Constant) and allowed.value is False)


def test_the_core_does_not_know_the_edge():
    for path in (SRC / "batcher").rglob("*.py"):
        assert not imports_any(path, "streambox.server", "streambox.serving", "streambox.commands"), relative(
            path
        )


# ---- words ---------------------------------------------------------------------------------------

BANNED = {"manager", "handler", "helper", "helpers", "utils", "util", "data", "info", "job"}


def words(name):
    """``HTTPHandler`` and ``http_handler`` alike: http, handler."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_or_class_has_a_name_that_names_nothing(path):
    named = [path.stem, *(node.name for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef))]
    # The reference's own request body has a field called "data": its one class says so.
    faults = [name for name in named if words(name) & BANNED and name != "VectorData"]
    assert faults == []


def test_the_glossary_lists_the_words_that_are_not_used():
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    last = glossary.strip().splitlines()[-1]
    assert {"manager", "handler", "helper", "utils", "data", "info", "job"} <= set(re.findall(r"\w+", last))


def test_the_glossary_explains_each_flush_reason_and_end():
    from streambox.batcher import FlushReason, State

    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    for reason in FlushReason:
        assert f"`{reason}`" in glossary
    for state in State:
        assert state < State.COMPLETED or f"*{state.name.lower()}*" in glossary


def test_the_python_that_is_asked_for_is_at_most_the_one_that_runs_this():
    asked = re.search(
        r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )
    assert sys.version_info >= (3, int(asked[1]))
