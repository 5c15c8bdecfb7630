"""Decoded video frames -> small upright RGB pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

SHORT_SIDE = 288
"""Larger frames are scaled down to this, in pixels: room to crop for an encoder of 224."""

LEGIBLE_SIDE = 720
"""The same, where the words in them are to be read."""

_MAX_ASPECT = 10  # a pixel that is more oblong than this is a broken header
_UNSPECIFIED, _BT709, _BT2020 = 2, 1, 9
_PQ, _HLG = 16, 18
_HD_HEIGHT = 720

_WHITE_NITS = 203.0  # ITU-R BT.2408: diffuse white of PQ and HLG programmes
_KNEE = 0.5
_TO_BT709 = np.array(  # ITU-R BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    dtype=np.float32,
)


class FramePictures:
    """Pictures of one track's frames: square pixels, upright, sRGB.

    Args:
        track: PyAV's video stream, open for decoding.
        short_side: Larger frames are scaled down to this, in pixels.
    """

    def __init__(self, track: Any, *, short_side: int = SHORT_SIDE) -> None:
        from av.video.reformatter import VideoReformatter

        context = track.codec_context
        self._reformatter, self._short_side = VideoReformatter(), short_side
        self._aspect = _pixel_aspect(track)
        self._tag = _turn_of_tag(track.metadata.get("rotate", ""))
        self._nits = _nits(context.color_trc)
        self._wide = context.color_primaries == _BT2020

    def size(self, frame: Any) -> tuple[int, int]:
        """Width and height of the upright picture before it is scaled down."""
        width, height = self._square(frame)
        return (height, width) if self._turn(frame) in _ON_ITS_SIDE else (width, height)

    def __call__(self, frame: Any) -> Image:
        """The picture of a frame."""
        from PIL import Image

        width, height = self._square(frame)
        scale = min(1.0, self._short_side / min(width, height))
        # Files without a note of their colours follow the custom: BT.709 in HD, BT.601 below.
        guess = frame.colorspace == _UNSPECIFIED and frame.height >= _HD_HEIGHT
        small = self._reformatter.reformat(
            frame,
            max(round(width * scale), 1),
            max(round(height * scale), 1),
            "rgb24",
            src_colorspace=_BT709 if guess else None,
        )
        pixels: NDArray[np.uint8] = np.asarray(small.to_ndarray(), dtype=np.uint8)
        if self._nits is not None:
            pixels = _standard_range(pixels, self._nits, wide=self._wide)
        image = Image.fromarray(pixels)
        turn = self._turn(frame)
        return image if turn is None else image.transpose(Image.Transpose[turn])

    def _square(self, frame: Any) -> tuple[int, int]:
        return max(round(frame.width * self._aspect), 1), frame.height

    def _turn(self, frame: Any) -> str | None:
        matrix = frame.side_data.get("DISPLAYMATRIX")
        return self._tag if matrix is None else _turn_of_matrix(bytes(matrix))


_ON_ITS_SIDE = ("ROTATE_90", "ROTATE_270", "TRANSPOSE", "TRANSVERSE")
_TURNS = {0: None, 90: "ROTATE_270", 180: "ROTATE_180", 270: "ROTATE_90"}


def _turn_of_tag(tag: str) -> str | None:
    """The clockwise degrees in old files as Pillow's counterclockwise turn."""
    return _TURNS[round(int(tag) / 90) * 90 % 360] if tag.removeprefix("-").isdecimal() else None


def _turn_of_matrix(matrix: bytes) -> str | None:
    """FFmpeg's display matrix, 3 x 3 fixed-point, as Pillow's turn; oblique ones are rounded."""
    if len(matrix) < 20:
        return None
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, dtype=np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):  # x stays x
        flips = {(False, True): "FLIP_TOP_BOTTOM", (True, False): "FLIP_LEFT_RIGHT"}
        return "ROTATE_180" if a < 0 and d < 0 else flips.get((a < 0, d < 0))
    if b > 0:
        return "ROTATE_270" if c < 0 else "TRANSPOSE"
    return "ROTATE_90" if c > 0 else "TRANSVERSE"


def _pixel_aspect(track: Any) -> float:
    aspect = float(track.sample_aspect_ratio or track.codec_context.sample_aspect_ratio or 1)
    return aspect if 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT else 1.0


def _nits(transfer: int) -> NDArray[np.float32] | None:
    """The light of the 256 code values of an HDR track; None for standard ones."""
    code = np.linspace(0, 1, 256)
    if transfer == _PQ:  # SMPTE ST 2084
        root = code ** (32 / 2523)
        light = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
        return np.asarray(10_000 * light ** (16384 / 2610), dtype=np.float32)
    if transfer == _HLG:  # ITU-R BT.2100, shown at 1,000 nits
        scene = np.where(
            code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
        )
        return np.asarray(1_000 * scene**1.2, dtype=np.float32)
    return None


def _standard_range(
    pixels: NDArray[np.uint8], nits: NDArray[np.float32], *, wide: bool
) -> NDArray[np.uint8]:
    """HDR pixels as sRGB: up to half of diffuse white unchanged, all above rolled off below 1."""
    light = nits[pixels] / _WHITE_NITS
    if wide:
        light = np.maximum(light @ _TO_BT709.T, 0)
    over = np.maximum(light - _KNEE, 0) / (1 - _KNEE)
    light = np.minimum(light, _KNEE) + (1 - _KNEE) * -np.expm1(-over)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray((curve * 255).round().clip(0, 255), dtype=np.uint8)
