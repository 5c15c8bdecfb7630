"""A folder of texts, pictures, sounds, depth maps, thermal images and motion, end to end."""

import wave

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs polyseek[torch]: make test-torch")

import tiny_imagebind
from PIL import Image

import polyseek
import tiny_models
from polyseek.core.config import Settings

pytestmark = [pytest.mark.torch, pytest.mark.slow]


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A folder with a file of each modality, and one more picture, depth map and text."""
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    Image.new("RGB", (50, 50), "red").save(folder / "red.png")
    ramp = np.tile(np.linspace(400, 9000, 64).astype(np.uint16), (48, 1))
    Image.fromarray(ramp).save(folder / "near.depth.png")
    np.save(folder / "far.depth.npy", rng.uniform(6, 9, (48, 64)).astype(np.float32))
    Image.fromarray(noise[..., 0]).save(folder / "street.thermal.jpg")
    rows = np.column_stack([np.arange(2500) / 100, rng.normal(size=(2500, 6))])
    names_of = "time,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"
    np.savetxt(folder / "walk.imu.csv", rows, delimiter=",", header=names_of, comments="")
    (folder / "words.txt").write_text("a red car")
    (folder / "more.txt").write_text("two dogs run along the beach")
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        tone = np.sin(np.arange(48_000) * 0.2) * 9000
        file.writeframes(tone.astype("<i2").tobytes())
    return folder


def test_a_folder_of_all_modalities_is_searched_across_them(media, tmp_path):
    folder = tmp_path / "imagebind"
    folder.mkdir()
    tiny_imagebind.imagebind(folder)
    settings = Settings(home=tmp_path / "home", device="cpu", allow_noncommercial=True)
    collection = polyseek.open(tmp_path / "c", encoder=str(folder), settings=settings)
    report = collection.add(media, workers=1)
    assert report.added == 9
    assert not report.failures
    assert collection.status().modalities == {
        "text": 2, "image": 2, "audio": 1, "depth": 2, "thermal": 1, "imu": 1
    }  # fmt: skip
    for path in media.iterdir():  # each file finds itself among its own kind
        kind = {"png": "image", "jpg": "thermal", "csv": "imu", "wav": "audio", "npy": "depth"}
        modality = kind.get(path.suffix[1:], "text")
        modality = "depth" if ".depth." in path.name else modality
        query = path if modality != "text" else path.read_text()
        found = collection.search(query, modalities=[modality], show_all=True)
        assert found[0].uri == path.as_uri()
    for query in ("a red car", media / "noise.png", media / "walk.imu.csv"):
        found = collection.search(query, limit=20, show_all=True)
        assert {str(hit.modality) for hit in found} == {
            "text", "image", "audio", "depth", "thermal", "imu"
        }  # fmt: skip
    near = collection.search("a red car", filter="nearest_m < 1", show_all=True)
    assert [hit.uri for hit in near] == [(media / "near.depth.png").as_uri()]
    (moment,) = collection.search(media / "walk.imu.csv", modalities=["imu"], show_all=True)
    assert moment.span is not None


def test_for_an_encoder_without_these_towers_they_are_pictures_and_tables(media, tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    tiny_models.clip(folder)
    settings = Settings(home=tmp_path / "home", device="cpu")
    collection = polyseek.open(tmp_path / "c", encoder=str(folder), settings=settings)
    report = collection.add(media, workers=1)
    assert {failure.reason for failure in report.failures} == {
        "the encoder cannot read audio", "'.npy' files are not supported"
    }  # fmt: skip
    assert collection.status().modalities == {"text": 2 + 1, "image": 2 + 2}
