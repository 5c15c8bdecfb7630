"""Probes with a known answer, made in code: pictures, sounds and texts with their names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from polyseek.core.tuning import Numbers
from polyseek.core.types import Modality, Signal, Sound

SIZE = 224
SAMPLE_RATE_HZ = 16_000
_SECONDS = 3

Draw: TypeAlias = "Callable[[ImageDraw.ImageDraw], object]"

TEXTS: Mapping[str, str] = {
    "how to bake bread": "Mix flour, water, salt and yeast, let the dough rise and bake the bread.",
    "when is high tide": "The tide is high twice a day, when the moon pulls the sea to the shore.",
    "rules of chess": "In chess, the player who checkmates the king of the other has won.",
    "how do vaccines work": "Vaccines show the immune system a germ, to fight it later.",
    "repair a flat bicycle tyre": "Take the tube out of the bicycle tyre, find the hole, patch it.",
    "history of the printing press": "Gutenberg built a printing press with movable type in 1450.",
    "why do cats purr": "Cats purr when they are content, and sometimes when they are in pain.",
    "train tickets to the mountains": "Train tickets to the mountains are sold at platform 2.",
    "growing tomatoes": "Tomatoes want sun, water every day, and a stick to climb.",
    "distance to the nearest star": "The nearest star after the sun is four light years away.",
    "salary and tax": "Tax is taken from the salary before it is paid out each month.",
    "learning to play the guitar": "Play three chords on the guitar until your fingers know them.",
}
"""Queries and a passage that answers each."""


def pictures() -> Mapping[str, Image.Image]:
    """Drawn pictures by a text that says what they show."""
    return {name: _picture(ground, draw) for name, (ground, draw) in _PICTURES.items()}


def sounds() -> Mapping[str, Sound]:
    """Synthetic sounds by a text that says what they are."""
    t = np.arange(_SECONDS * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    noise = 0.2 * np.random.default_rng(0).normal(size=len(t))
    tone = {hz: np.sin(2 * np.pi * hz * t) for hz in (50, 480, 523, 620, 1256, 1970)}
    chord = np.sum(
        [np.sin(2 * np.pi * hz * h * t) / h for hz in (262, 330, 392) for h in range(1, 8)], axis=0
    )
    bell = 0.4 * tone[523] + 0.3 * tone[1256] + 0.2 * tone[1970]
    beat = np.sin(2 * np.pi * 80 * np.exp(-5 * (t % 0.5)) * t)
    made: dict[str, Numbers] = {
        "a telephone busy signal": 0.25 * (tone[480] + tone[620]) * (t % 1 < 0.5),
        "a clock ticking": 4 * noise * np.exp(-200 * (t % 0.5)),
        "heartbeat": tone[50] * (np.exp(-30 * (t % 0.8)) + 0.7 * np.exp(-30 * ((t + 0.5) % 0.8))),
        "thunder rumbling": _dull(noise, 200) * np.exp(-t),
        "rain": 0.3 * noise * (1 + 0.2 * _dull(noise, 3)),
        "drum beat": beat * np.exp(-12 * (t % 0.5)) + noise * np.exp(-40 * ((t + 0.25) % 0.5)),
        "a bell ringing": bell * np.exp(-3 * (t % 1.5)),
        "silence": 1e-4 * noise,
        "music, an organ playing a chord": 0.05 * chord,
        "wind": 0.5 * _dull(noise, 12) * (1 + 0.8 * np.sin(0.8 * np.pi * t)),
        "gunshot": 5 * noise * np.exp(-15 * (t % 1.5)),
    }
    return {
        name: Sound(
            samples=np.clip(samples, -1, 1).astype(np.float32), sample_rate_hz=SAMPLE_RATE_HZ
        )
        for name, samples in made.items()
    }


def probes_of(modality: Modality) -> Mapping[str, Signal]:
    """Signals of a modality by their names; passages by a query for texts.

    None are known for depth, thermal images and motion: what they show is hard to make up.
    """
    match modality:
        case Modality.TEXT:
            return TEXTS
        case Modality.IMAGE:
            return pictures()
        case Modality.VIDEO:
            return {name: [picture] for name, picture in pictures().items()}
        case Modality.AUDIO:
            return sounds()
        case _:
            return {}


def _picture(ground: str, draw: Draw) -> Image.Image:
    picture = Image.new("RGB", (SIZE, SIZE), ground)
    draw(ImageDraw.Draw(picture))
    return picture


def _dull(samples: Numbers, width: int) -> Numbers:
    """Low-passed noise of about the same loudness."""
    kernel = np.ones(width) / math.sqrt(width)
    found: Numbers = np.convolve(samples, kernel, "same")
    return found


def _nothing(_: ImageDraw.ImageDraw) -> None:
    pass


def _board(d: ImageDraw.ImageDraw) -> None:
    for square in range(64):
        x, y = 28 * (square % 8), 28 * (square // 8)
        if (square + square // 8) % 2:
            d.rectangle((x, y, x + 27, y + 27), fill="black")


def _heart(d: ImageDraw.ImageDraw) -> None:
    d.ellipse((32, 40, 122, 130), fill="red")
    d.ellipse((102, 40, 192, 130), fill="red")
    d.polygon([(38, 106), (186, 106), (112, 200)], fill="red")


def _star(d: ImageDraw.ImageDraw) -> None:
    ring = [(90 if i % 2 == 0 else 36, i * math.pi / 5) for i in range(10)]
    d.polygon([(112 + r * math.sin(a), 112 - r * math.cos(a)) for r, a in ring], fill="yellow")


def _house(d: ImageDraw.ImageDraw) -> None:
    d.rectangle((0, 160, SIZE, SIZE), fill="green")
    d.rectangle((60, 100, 164, 190), fill="brown")
    d.polygon([(45, 100), (179, 100), (112, 40)], fill="darkred")
    d.rectangle((98, 140, 126, 190), fill="black")


def _face(d: ImageDraw.ImageDraw) -> None:
    d.ellipse((32, 32, 192, 192), fill="yellow", outline="black", width=4)
    d.ellipse((75, 80, 95, 105), fill="black")
    d.ellipse((129, 80, 149, 105), fill="black")
    d.arc((70, 90, 154, 160), 20, 160, fill="black", width=6)


def _tree(d: ImageDraw.ImageDraw) -> None:
    d.rectangle((100, 130, 124, 200), fill="saddlebrown")
    d.ellipse((50, 30, 174, 150), fill="forestgreen")
    d.rectangle((0, 196, SIZE, SIZE), fill="green")


def _sun(d: ImageDraw.ImageDraw) -> None:
    for i in range(12):
        a = i * math.pi / 6
        d.line((112, 112, 112 + 100 * math.cos(a), 112 + 100 * math.sin(a)), "orange", 8)
    d.ellipse((67, 67, 157, 157), fill="yellow")


def _rainbow(d: ImageDraw.ImageDraw) -> None:
    for i, colour in enumerate(["red", "orange", "yellow", "green", "blue", "purple"]):
        box = (20 + i * 12, 60 + i * 12, 204 - i * 12, 260 - i * 12)
        d.arc(box, 180, 360, fill=colour, width=12)


def _spiral(d: ImageDraw.ImageDraw) -> None:
    turns = [i * 8 * math.pi / 400 for i in range(400)]
    line = [(112 + 4 * a * math.cos(a), 112 + 4 * a * math.sin(a)) for a in turns]
    d.line(line, fill="black", width=5)


def _clock(d: ImageDraw.ImageDraw) -> None:
    d.ellipse((22, 22, 202, 202), outline="black", width=8)
    for i in range(12):
        x, y = math.cos(i * math.pi / 6), math.sin(i * math.pi / 6)
        d.line((112 + 76 * x, 112 + 76 * y, 112 + 86 * x, 112 + 86 * y), "black", 5)
    d.line((112, 112, 112, 45), "black", 6)
    d.line((112, 112, 160, 112), "black", 8)


def _moon(d: ImageDraw.ImageDraw) -> None:
    d.ellipse((52, 52, 172, 172), fill="lightyellow")
    d.ellipse((92, 42, 202, 152), fill="midnightblue")


_PICTURES: Mapping[str, tuple[str, Draw]] = {
    "a plain red background": ("red", _nothing),
    "a plain green background": ("green", _nothing),
    "a plain blue background": ("blue", _nothing),
    "a plain yellow background": ("yellow", _nothing),
    "a chess board": ("white", _board),
    "a red heart": ("white", _heart),
    "a yellow star": ("navy", _star),
    "a small house": ("skyblue", _house),
    "a smiling face": ("white", _face),
    "a green tree": ("skyblue", _tree),
    "the sun in the sky": ("skyblue", _sun),
    "a rainbow": ("skyblue", _rainbow),
    "a spiral": ("white", _spiral),
    "a clock": ("white", _clock),
    "the moon at night": ("midnightblue", _moon),
}
