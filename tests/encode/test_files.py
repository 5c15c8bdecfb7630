"""Functions from a file to a vector: how they are named, and which files are theirs."""

import io
from datetime import UTC, datetime

import numpy as np
import pytest

from polyseek.core.errors import AssetError, ConfigError
from polyseek.core.types import Asset, Modality
from polyseek.encode import files


@pytest.mark.parametrize(
    ("pattern", "path", "reads"),
    [
        ("*.tiff", "a/b/c.TIFF", True),
        ("*.tiff", "c.tif", False),
        ("*.flir.npy", "site/cam.flir.npy", True),
        ("flir/*.jpg", "2024/flir/a.jpg", True),
        ("flir/*.jpg", "flir/deep/a.jpg", False),
        ("flir/*.jpg", "a.jpg", False),
    ],
)
def test_patterns_fit_the_end_of_a_path(pattern, path, reads):
    reader = files.TowerReader(modality=Modality.THERMAL, tower="t", patterns=[pattern])
    assert reader.reads(path) is reads


def read(tmp_path, body, data=b"x", dim=0):
    path = tmp_path / f"tower_{abs(hash(body))}.py"
    path.write_text(
        f"import numpy as np\n\n\ndef embed(file):\n    {body}\n\n\nembed.files = '*'\n"
    )
    reader = files.TowerReader(
        modality=Modality.THERMAL, tower=f"{path}:embed", patterns=["*"], dim=dim
    )
    asset = Asset(uri="file:///a", path="a", size_bytes=1, modified=datetime.now(UTC), etag="")
    (media,) = reader.open(asset, io.BytesIO(data))
    return media.signal


def test_whatever_becomes_numbers_is_a_vector(tmp_path):
    found = read(tmp_path, "return [len(file.read()), 2]", b"abc")
    assert found.dtype == np.float32
    assert found.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise OSError('gone')", "failed: OSError: gone"),
        ("return 'warm'", "gives no numbers"),
        ("return [[1, 2]]", r"gives shape \(1, 2\)"),
        ("return []", r"gives shape \(0,\)"),
        ("return [1, float('inf')]", "not finite"),
        ("return [1, 2, 3]", r"gives shape \(3,\); expected \(2,\)"),
    ],
)
def test_what_is_no_vector_costs_one_file(tmp_path, body, message):
    with pytest.raises(AssetError, match=message) as raised:
        read(tmp_path, body, dim=2 if "3]" in body else 0)
    assert str(tmp_path) not in raised.value.reason  # a server tells it to others


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "unknown tower 'nowhere'"),
        ("nowhere:embed", "ModuleNotFoundError"),
        ("math:embed", "AttributeError"),
        (files.absolute("./nowhere.py:embed"), "no such file"),
        ("nowhere.py:embed", "relative to a folder"),
        ("pickle:load", "does not say which files it reads"),
    ],
)
def test_a_name_of_nothing_is_an_error_that_names_it(name, message):
    with pytest.raises(ConfigError, match=message):
        files.load(name)


def test_a_collection_runs_no_file_of_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "here.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.chdir(tmp_path)
    for name in ("here.py:embed", "./here.py:embed"):
        with pytest.raises(ConfigError, match="relative to a folder"):
            files.load(name)


def test_a_file_is_known_by_its_content_unless_it_has_a_word_for_it(tmp_path):
    plain, told = tmp_path / "plain.py", tmp_path / "told.py"
    body = "def embed(file):\n    return [1]\n\n\nembed.files = '*.x'\n"
    plain.write_text(body)
    told.write_text(body + "embed.revision = 3\n")
    assert len(files.revision(f"{plain}:embed")) == 12
    assert files.revision(f"{told}:embed") == "3"
    assert files.patterns(f"{told}:embed") == ("*.x",)
