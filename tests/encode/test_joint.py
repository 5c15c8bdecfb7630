"""Several encoders as one: a shared space, and a map that leads into it."""

import numpy as np
import pytest
from onnx_folder import MODEL, make

from polyseek.api.joining import join_encoders
from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, EncoderError, ModelLoadError
from polyseek.core.types import Modality, Role
from polyseek.encode import names
from polyseek.encode.joint import LinearMap, fit_map, read_map
from polyseek.encode.towers import unit

JOINT = """
[[encoders]]
name = "./a"
modalities = ["text"]

[[encoders]]
name = "./b"
modalities = ["image", "video"]
map = "b-to-a.npz"
"""


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture
def folder(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b", MODEL.replace("max_tokens = 12", "max_tokens = 10"))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0].astype(np.float32)
    LinearMap(turn, np.full(8, 0.1, np.float32)).save(tmp_path / "b-to-a.npz")
    return tmp_path


def joined(folder, settings, text=JOINT):
    (folder / "both.toml").write_text(text)
    return names.load(str(folder / "both.toml"), settings)


def test_each_modality_goes_to_its_encoder_and_through_its_map(folder, settings):
    encoder = joined(folder, settings)
    assert set(encoder.info.towers) == {Modality.TEXT, Modality.IMAGE, Modality.VIDEO}
    a, b = (names.load(str(folder / name), settings) for name in "ab")
    texts = encoder.encode(Modality.TEXT, ["a red car"], role=Role.QUERY)
    np.testing.assert_array_equal(
        texts.shared, a.encode(Modality.TEXT, ["a red car"], role=Role.QUERY).shared
    )
    picture = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    found = encoder.encode(Modality.IMAGE, [picture], role=Role.DOCUMENT)
    plain = b.encode(Modality.IMAGE, [picture], role=Role.DOCUMENT).shared
    np.testing.assert_allclose(found.shared, read_map(folder / "b-to-a.npz")(plain), atol=1e-6)
    np.testing.assert_array_equal(found.tower, plain)
    with pytest.raises(EncoderError, match="no audio tower; it has image, text, video"):
        encoder.encode(Modality.AUDIO, [], role=Role.QUERY)


def test_another_map_is_another_encoder(folder, settings):
    before = joined(folder, settings).info
    LinearMap(np.eye(8, dtype=np.float32), np.zeros(8, np.float32)).save(folder / "b-to-a.npz")
    after = joined(folder, settings).info
    assert before.name == after.name == f"joint:{folder / 'both.toml'}"
    assert before.revision != after.revision
    assert names.load(after.name, settings).info.revision == after.revision


@pytest.mark.parametrize(
    ("before", "after", "error", "message"),
    [
        ('map = "b-to-a.npz"', "", ConfigError, r"share no space: .*'polyseek adapt'"),
        ('["image", "video"]', '["text"]', ConfigError, r"text is embedded by './a' and by './b'"),
        ('["text"]', '["audio"]', ConfigError, r"'./a' has no audio tower; it has"),
        ('["text"]', '["text"]\nmap = "x.npz"', ConfigError, r"comes first.* take 'map' out"),
        ("b-to-a.npz", "gone.npz", ModelLoadError, r"gone.npz: cannot be read as a map"),
        ('"./b"', '"./c"', ModelLoadError, r"no such model folder"),
        ('name = "./a"', "nmae = 1", ModelLoadError, r"unknown key 'nmae'"),
        ("[[encoders]]", "[[models]]", ModelLoadError, r"expected two or more \[\[encoders\]\]"),
        ("[[encoders]]", "[encoders", ModelLoadError, r"cannot be read as TOML"),
    ],
)  # fmt: skip
def test_what_cannot_be_joined_is_refused(folder, settings, before, after, error, message):
    with pytest.raises(error, match=message):
        joined(folder, settings, JOINT.replace(before, after, 1))


def test_a_map_of_another_size_is_refused(folder, settings):
    LinearMap(np.eye(8, 6, dtype=np.float32), np.zeros(8, np.float32)).save(folder / "b-to-a.npz")
    with pytest.raises(ConfigError, match=r"a map of \(8, 6\), but './b' to './a' needs \(8, 8\)"):
        joined(folder, settings)


def test_a_fitted_map_finds_a_hidden_rotation():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    rows = unit(rng.normal(size=(600, 16)).astype(np.float32))
    target = unit((rows @ turn).astype(np.float32))
    found = fit_map(rows[:500], target[:500])
    assert np.vecdot(found(rows[500:]), target[500:]).min() > 0.98


def test_join_writes_a_map_that_is_worth_something_or_nothing(folder, settings):
    # These two read the same nine words, so 3,000 everyday queries are mostly alike to them.
    with pytest.raises(EncoderError, match="of the held-out texts find themselves"):
        join_encoders(str(folder / "a"), str(folder / "b"), folder / "out.npz", settings=settings)
    assert not (folder / "out.npz").exists()
