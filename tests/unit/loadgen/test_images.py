"""A folder of images as rows for a model, and how its files tell their classes."""

from __future__ import annotations

import pytest

from streambox.errors import UsageError
from streambox.loadgen.folder import list_files
from streambox.loadgen.images import layout_of, parse_pixels, read_images
from streambox.loadgen.inputs import InputSpec


def spec(*dims: int, datatype: str = "FP32") -> InputSpec:
    return InputSpec("image", datatype, (-1, *dims))


@pytest.fixture
def image():
    return pytest.importorskip("PIL.Image")


def touch(folder, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


# ---- classes -------------------------------------------------------------------------------------

CLASSES = [
    (["3/a.png", "12/b.png"], [12, 3], "numbers are themselves"),
    (["dog/a.png", "cat/b.png", "cat/c.png"], [0, 0, 1], "names by their order"),
    (["a.png", "b.png"], None, "without subfolders nobody knows"),
]


@pytest.mark.parametrize(("names", "labels", "why"), CLASSES, ids=[row[-1] for row in CLASSES])
def test_a_subfolder_tells_the_class(tmp_path, names, labels, why):
    touch(tmp_path, *names)
    assert list_files(tmp_path).labels == labels


def test_a_list_tells_the_classes_and_wins(tmp_path):
    touch(tmp_path, "cat/a.png", "b.png")
    (tmp_path / "labels.csv").write_text("file,label\nb.png,7\n\ncat/a.png,3\n")
    files = list_files(tmp_path)
    assert [path.name for path in files.paths] == ["b.png", "a.png"]
    assert files.labels == [7, 3]


@pytest.mark.parametrize(
    ("names", "table", "reason"),
    [
        ([], None, "holds no rows"),
        (["a.txt"], None, "no file that ends in .png"),
        (["a.png", "cat/b.png"], None, "a.png: in no subfolder, as others are"),
        (["a.png"], "b.png,1\n", "says nothing of a.png"),
        (["a.png"], "a.png,x\n", "labels.csv:1: expected FILE,LABEL"),
        (["a.png"], "a.png\n", "labels.csv:1: expected FILE,LABEL"),
    ],
)
def test_a_folder_that_makes_no_dataset_is_refused(tmp_path, names, table, reason):
    touch(tmp_path, *names)
    if table is not None:
        (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(UsageError) as error:
        list_files(tmp_path, (".png",))
    assert reason in str(error.value)


# ---- pixels --------------------------------------------------------------------------------------


def test_images_are_brought_to_the_models_size_and_channels(image, tmp_path):
    image.new("RGB", (20, 10), (255, 0, 51)).save(tmp_path / "a.png")
    (row,) = read_images(tmp_path, spec(3, 4, 6)).inputs["image"]
    assert row.shape == (3, 4, 6)
    assert row[:, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])
    (row,) = read_images(tmp_path, spec(4, 6, 3)).inputs["image"]
    assert row.shape == (4, 6, 3)
    assert row[0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])
    (row,) = read_images(tmp_path, spec(4, 6)).inputs["image"]
    assert row.shape == (4, 6)


def test_black_and_white_become_what_the_datatype_or_the_option_says(image, tmp_path):
    picture = image.new("L", (2, 1))
    picture.putpixel((1, 0), 255)
    picture.save(tmp_path / "a.pgm")
    for kind, pixels, wanted in (
        ("FP32", None, [0, 1]),
        ("UINT8", None, [0, 255]),
        ("FP32", "0:16", [0, 16]),
        ("FP32", "1:-1", [1, -1]),
        ("INT8", "0:16", [0, 16]),
    ):
        (row,) = read_images(tmp_path, spec(1, 2, datatype=kind), pixels).inputs["image"]
        assert row.ravel().tolist() == pytest.approx(wanted), (kind, pixels)


def test_an_image_that_cannot_be_read_is_named(image, tmp_path):
    image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(UsageError, match=r"b\.png: no image that can be read"):
        read_images(tmp_path, spec(8, 8))


@pytest.mark.parametrize("dims", [(), (64,), (5, 8, 8), (2, 2, 3, 1), (3, -1, -1)])
def test_an_input_that_is_no_image_is_refused(dims):
    with pytest.raises(UsageError, match="which are no images: write what it takes"):
        layout_of(spec(*dims))


@pytest.mark.parametrize("text", ["", "5", "a:b", "0:nan", "0:"])
def test_what_black_and_white_become_is_two_numbers(text):
    with pytest.raises(UsageError, match="what black and white become"):
        parse_pixels(text, spec(8, 8))


def test_without_pillow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    touch(tmp_path, "a.png")
    with pytest.raises(UsageError, match=r"pip install 'streambox-serving\[images\]'"):
        read_images(tmp_path, spec(8, 8))
