"""The demo's corpus: media inside wheels on the package index, and our own short texts."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from polyseek.core.artifacts import Artifact, ensure_all
from polyseek.core.config import Settings
from polyseek.core.reports import ProgressCallback
from polyseek.core.types import Modality

CREDITS = """
Pictures, from the scikit-image and scikit-learn wheels: astronaut (NASA), rocket (SpaceX), Hubble
deep field (NASA/ESA): public domain. Cameraman (Lav Varshney), Chelsea the cat (Stefan van der
Walt), coffee (Rachel Michetti), horse (Andreas Preuss), retina (Mikael Haggstrom), grass
(linolafett), brick and gravel (CC0Textures): CC0. Coins (Brooklyn Museum), tissue (CMMI): no known
restrictions. Pavilion (danielbuechele) and dahlia (vultilion): CC BY 2.0. From the arcade wheel:
sounds (Kenney, CC0) and the Earth at night (NASA, public domain). Texts: polyseek."""

SEARCHES: list[tuple[str, str, Modality | None]] = [
    ("text -> image", "a hot drink in a cup", Modality.IMAGE),
    ("text -> image", "a rocket on its launch pad at night", Modality.IMAGE),
    ("image -> text", "./pictures/chelsea.png", Modality.TEXT),
    ("image -> text", "./pictures/astronaut.png", Modality.TEXT),
    ("text -> text", "how much coffee powder and water do I need?", Modality.TEXT),
    ("image -> image", "./pictures/grass.png", Modality.IMAGE),
    ("text -> audio", "an explosion", Modality.AUDIO),
    ("text -> video", "a planet seen from space", Modality.VIDEO),
    ("image -> video", "./pictures/hubble_deep_field.jpg", Modality.VIDEO),
    ("audio -> text", "./sounds/explosion1.wav", Modality.TEXT),
    ("text -> everything", "a rocket launch at night", None),
]

_SKIMAGE = "pypi:scikit-image==0.26.0#skimage/data/"
_SKLEARN = "pypi:scikit-learn==1.9.1#sklearn/datasets/images/"
_ARCADE = "pypi:arcade==3.3.3#arcade/resources/assets/"

_FILES = {
    "pictures/astronaut.png": (
        _SKIMAGE,
        791555,
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    "pictures/brick.png": (
        _SKIMAGE,
        106634,
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    ),
    "pictures/camera.png": (
        _SKIMAGE,
        139512,
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    ),
    "pictures/chelsea.png": (
        _SKIMAGE,
        240512,
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "pictures/coffee.png": (
        _SKIMAGE,
        466706,
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "pictures/coins.png": (
        _SKIMAGE,
        75825,
        "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
    ),
    "pictures/grass.png": (
        _SKIMAGE,
        217893,
        "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    ),
    "pictures/gravel.png": (
        _SKIMAGE,
        194247,
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    ),
    "pictures/horse.png": (
        _SKIMAGE,
        16633,
        "c7fb60789fe394c485f842291ea3b21e50d140f39d6dcb5fb9917cc178225455",
    ),
    "pictures/hubble_deep_field.jpg": (
        _SKIMAGE,
        527940,
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    ),
    "pictures/ihc.png": (
        _SKIMAGE,
        477916,
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    ),
    "pictures/retina.jpg": (
        _SKIMAGE,
        269564,
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    ),
    "pictures/rocket.jpg": (
        _SKIMAGE,
        112525,
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
    "pictures/china.jpg": (
        _SKLEARN,
        196653,
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    "pictures/flower.jpg": (
        _SKLEARN,
        142987,
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
    "sounds/explosion1.wav": (
        _ARCADE,
        136516,
        "3be4da14d9a88bbe6b81de68230a7bea2d813f511cabf17ca2e8ec47079ec770",
    ),
    "sounds/gameover1.wav": (
        _ARCADE,
        94184,
        "57935bae83a5faca8b2786d4653f134180ea85953eb0263b3c937371ca4c40bc",
    ),
    "sounds/laser1.wav": (
        _ARCADE,
        13770,
        "5cc1fab19dde9ba38fb982cb37694951d975cecb40143002b996d2dcb4d0b5a2",
    ),
    "sounds/rockHit2.wav": (
        _ARCADE,
        80468,
        "f3f7cf80056fd24d0ee11d327603f68bd925eefce7bf41d2a75e4a23fcf28676",
    ),
    "video/earth.mp4": (
        _ARCADE,
        1570024,
        "71944d7430c461f0cd6e7fd10cee7eb72786352a3678fc7bc0ae3d410f72aece",
    ),
}
"""Where each file is from, its size, its SHA-256; arcade keeps folders of the same names."""


def build(folder: Path, settings: Settings, *, progress: ProgressCallback | None = None) -> Path:
    """Put the corpus into `folder`; files that are there stay.

    Raises:
        EncoderError: A file cannot be fetched.
    """
    missing = {
        name: Artifact(
            name=name,
            source=place + (name if place == _ARCADE else name.removeprefix("pictures/")),
            sha256=sha256,
            size_bytes=size_bytes,
        )
        for name, (place, size_bytes, sha256) in _FILES.items()
        if not (folder / name).exists()
    }
    paths = ensure_all(list(missing.values()), settings, progress=progress)
    for name, cached in zip(missing, paths, strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cached, target)
    with as_file(files("polyseek.cli.demo") / "texts") as texts:
        shutil.copytree(texts, folder / "texts", dirs_exist_ok=True)
    return folder


def metadata_file(folder: Path) -> Path:
    """Where each picture is from, beside the corpus; joined on the path."""
    target = folder.parent / "pictures.csv"
    text = (files("polyseek.cli.demo") / "pictures.csv").read_text(encoding="utf-8")
    target.write_text(text, encoding="utf-8")
    return target
