"""Depth maps and thermal images: pictures and arrays of one value for each point.

Only a file's name tells them from photographs: ``room.depth.png``, ``street.thermal.jpg``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Floats, Media, MetadataValue, Modality
from polyseek.ingest.decoders.image import MAX_PIXELS

_MAX_BYTES = MAX_PIXELS * 8
_FORMATS = ("PNG", "TIFF", "JPEG", "BMP", "WEBP")
_MM_PER_M = 1000


class DepthDecoder:
    """``.depth.png`` (16 bits, millimetres), ``.depth.tif`` and ``.depth.npy``.

    Whole numbers are millimetres, numbers with a fraction metres; 0, negative and infinite ones say
    that the depth is not known. Fields: ``nearest_m`` and ``farthest_m``.
    """

    modality = Modality.DEPTH
    suffixes = frozenset({".depth.png", ".depth.tif", ".depth.tiff", ".depth.npy"})

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        values = _values(asset, stream)
        if values.ndim != 2:
            raise DecodeError(
                asset.uri,
                f"a depth map has one value for each point, this has the shape {values.shape}; "
                "colours cannot be turned back into depths",
            )
        if values.dtype.kind in "iub" and values.dtype.itemsize == 1:
            raise DecodeError(
                asset.uri,
                "has 8 bits; a depth map has 16 (millimetres) or is a .depth.npy of metres",
            )
        metres = values.astype(np.float32)
        if values.dtype.kind != "f":
            metres /= _MM_PER_M
        metres[~np.isfinite(metres) | (metres < 0)] = 0
        known = metres[metres > 0]
        if not known.size:
            raise DecodeError(asset.uri, "holds no depth: every point is 0 or not known")
        ends = {"nearest_m": float(known.min()), "farthest_m": float(known.max())}
        yield _media(Modality.DEPTH, metres, **{n: round(end, 3) for n, end in ends.items()})


class ThermalDecoder:
    """``.thermal.png``, ``.jpg``, ``.tif``, ``.bmp`` and ``.npy``: light is warm.

    8 bits are taken as they are, colours by their lightness; temperatures (more bits, or numbers
    with a fraction) are stretched from the coldest point to the warmest.
    """

    modality = Modality.THERMAL
    suffixes = frozenset(
        f".thermal.{kind}" for kind in ("png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp", "npy")
    )

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        values = _values(asset, stream, grey=True)
        if values.ndim != 2:
            raise DecodeError(
                asset.uri, f"expected an array of (height, width), got the shape {values.shape}"
            )
        warmth = values.astype(np.float32)
        if values.dtype == np.uint8:
            warmth /= 255
        else:
            warmth = _stretched(asset, warmth)
        yield _media(Modality.THERMAL, warmth)


def _stretched(asset: Asset, values: Floats) -> Floats:
    known = values[np.isfinite(values)]
    if not known.size:
        raise DecodeError(asset.uri, "holds no temperature: no point is a finite number")
    low, high = float(known.min()), float(known.max())
    warmth = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1)
    return warmth.astype(np.float32)


def _media(modality: Modality, values: Floats, **fields: MetadataValue) -> Media:
    height, width = values.shape
    return Media(
        modality=modality, signal=values, metadata={"width": width, "height": height, **fields}
    )


def _values(asset: Asset, stream: BinaryIO, *, grey: bool = False) -> NDArray[Any]:
    values = (
        read_array(asset, stream)
        if asset.path.lower().endswith(".npy")
        else _picture(asset, stream, grey=grey)
    )
    _check_size(asset, values.size)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        return values.reshape([each for each in values.shape if each > 1] or [1, 1])
    return values


def _check_size(asset: Asset, points: int) -> None:
    if not 0 < points <= MAX_PIXELS:
        raise DecodeError(asset.uri, f"has {points:,} points; expected 1 to {MAX_PIXELS:,}")


def read_array(asset: Asset, stream: BinaryIO) -> NDArray[Any]:
    """A ``.npy`` file's numbers.

    Raises:
        DecodeError: It is none, is damaged, or holds anything but numbers.
    """
    data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise DecodeError(asset.uri, f"too large: the limit is {_MAX_BYTES:,} bytes")
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    # NumPy's reader raises what it meets, down to tokenize's errors for a broken header.
    except Exception as error:
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise DecodeError(asset.uri, f"is no readable .npy file: {told}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iuf":
        kind = getattr(found, "dtype", type(found).__name__)
        raise DecodeError(asset.uri, f"expected an array of numbers, got {kind}")
    return found


def _picture(asset: Asset, stream: BinaryIO, *, grey: bool) -> NDArray[Any]:
    import warnings

    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(stream, formats=_FORMATS) as image:
                _check_size(asset, image.width * image.height)
                image.load()
                deep = image.mode.startswith("I") or image.mode == "F"
                upright = ImageOps.exif_transpose(image)
                return np.array(upright.convert("L") if grey and not deep else upright)
    except DecodeError:
        raise
    # Pillow's plug-ins raise what they meet (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise DecodeError(asset.uri, f"is no readable picture: {told}") from error
