"""The cache of generated models: whole or not at all, once, and mended when damaged."""

from __future__ import annotations

import multiprocessing

import pytest

from streambox.models.cache import cache_folder, cached


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "streambox"


class Generator:
    def __init__(self, content: bytes = b"weights" * 1000) -> None:
        self.content = content
        self.calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.content


def test_the_folder_follows_the_environment(folder, monkeypatch, tmp_path):
    assert cache_folder() == folder
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "streambox"


def test_it_is_generated_once():
    generate = Generator()
    assert cached("m.onnx", generate).read_bytes() == generate.content
    assert cached("m.onnx", generate).read_bytes() == generate.content
    assert generate.calls == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"W" + path.read_bytes()[1:]),
        lambda path: path.unlink(),
        lambda path: path.with_name("m.onnx.sha256").unlink(),
        lambda path: path.with_name("m.onnx.sha256").write_bytes(b"\xff"),
    ],
    ids=["empty", "cut short", "one byte changed", "gone", "digest gone", "digest damaged"],
)
def test_a_damaged_file_is_generated_anew(damage):
    generate = Generator()
    damage(cached("m.onnx", generate))
    assert cached("m.onnx", generate).read_bytes() == generate.content
    assert generate.calls == 2


def test_a_generator_that_fails_leaves_nothing_behind(folder):
    def fail() -> bytes:
        raise MemoryError

    with pytest.raises(MemoryError):
        cached("m.onnx", fail)
    assert [path.name for path in folder.iterdir()] == ["m.onnx.lock"]
    assert cached("m.onnx", Generator()).is_file()


def _generate_in_child(marks) -> None:
    def generate() -> bytes:
        marks.put("generated")
        return b"x" * 100_000

    marks.put(cached("m.onnx", generate).stat().st_size)


def test_of_several_processes_one_generates_and_all_find_the_whole_file():
    context = multiprocessing.get_context("spawn")
    marks = context.Queue()
    children = [context.Process(target=_generate_in_child, args=(marks,)) for _ in range(3)]
    for child in children:
        child.start()
    seen = [marks.get(timeout=30) for _ in range(4)]
    for child in children:
        child.join(timeout=30)
    assert sorted(seen, key=str) == [100_000] * 3 + ["generated"]
