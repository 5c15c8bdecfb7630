"""Still pictures, through Pillow; HEIC through pi-heif."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, MetadataValue, Modality

DRAFT_SIDE = 512
"""JPEGs are decoded at a reduced scale, with neither side below this, in pixels."""

LEGIBLE_SIDE = 2000
"""For reading what is written in them, the long side is at least this where the file has it."""

MAX_PIXELS = 178_000_000
"""Larger pictures are refused: they would take gigabytes to decode. Pillow refuses soon above."""

_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"),
    *("JPEG2000", "PPM", "ICO", "DIB", "TGA"),
)
"""What a file may hold, whatever its name ends in. Pillow knows more, but a PostScript file named
``.jpg`` would start Ghostscript."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation."""


class ImageDecoder:
    """JPEG, PNG, WebP, GIF (first frame), BMP, TIFF, AVIF, HEIC as upright RGB on white.

    Args:
        legible: Decode JPEGs at a scale at which small print can be read.
    """

    suffixes = frozenset(
        ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .avif .avifs .heic "
        ".heif .hif .jp2 .j2k .jpf .jpx .ppm .pgm .pbm .pnm .tga .ico".split()
    )

    def __init__(self, *, legible: bool = False) -> None:
        self._legible = legible

    def legible(self) -> ImageDecoder:
        """See `polyseek.core.protocols.PictureDecoder`."""
        return ImageDecoder(legible=True)

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        _register_heif()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what it repairs, e.g. odd EXIF
            media = self._media(asset, stream)
        yield media

    def _media(self, asset: Asset, stream: BinaryIO) -> Media:
        try:
            return self._decode(asset, stream)
        except DecodeError:
            raise
        except UnidentifiedImageError:
            raise DecodeError(asset.uri, "is no picture in a format that is known") from None
        except Image.DecompressionBombError as error:
            size = str(error).split(",")[0]  # without the suspicion of an attack
            raise DecodeError(asset.uri, f"too large: {size}") from error
        except MemoryError as error:
            raise DecodeError(asset.uri, "needs too much memory to decode") from error
        # Pillow's plug-ins raise what they meet (OSError, SyntaxError, struct.error, ...).
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DecodeError(asset.uri, f"broken picture: {reason}") from error

    def _decode(self, asset: Asset, stream: BinaryIO) -> Media:
        with Image.open(stream, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DecodeError(
                    asset.uri,
                    f"too large: {width} x {height} pixels, the limit is {MAX_PIXELS:,} in all",
                )
            metadata: dict[str, MetadataValue] = {"format": str(image.format).lower()}
            metadata.update(_exif_fields(image))
            if image.format in ("JPEG", "MPO"):
                image.draft(image.mode, self._least(width, height))
            image.load()
            on_its_side = _orientation(image) in (5, 6, 7, 8)  # loaded: Pillow turns TIFFs itself
            sides = (height, width) if on_its_side else (width, height)
            metadata["width"], metadata["height"] = sides
            return Media(modality=Modality.IMAGE, signal=upright(image), metadata=metadata)

    def _least(self, width: int, height: int) -> tuple[int, int]:
        """The size below which a JPEG is not to be decoded."""
        if not self._legible:
            return DRAFT_SIDE, DRAFT_SIDE
        scale = LEGIBLE_SIDE / max(width, height)
        return max(round(width * scale), 1), max(round(height * scale), 1)


def upright(image: Image.Image) -> Image.Image:
    """Any picture as RGB on white, turned as its EXIF orientation says."""
    image.load()
    turn = _TURNS.get(_orientation(image))
    return flatten(image if turn is None else image.transpose(turn))


def flatten(image: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB: transparency over white, 16-bit and float scaled to 8-bit."""
    clear = "transparency" in image.info
    if image.mode == "RGB" and not clear:
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_to_8_bit(image)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or clear:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> NDArray[np.uint8]:
    pixels = np.array(image, dtype=np.float32)
    np.nan_to_num(pixels, copy=False, posinf=0, neginf=0)
    low, high = float(pixels.min()), float(pixels.max())
    if image.mode == "F" or high > 65535:  # no agreed white: what is brightest is
        pixels -= low
        pixels *= 255 / (high - low or 1)
    elif high > 255:  # below, it is an 8-bit picture in a wider mode
        pixels /= 257
    return pixels.round(out=pixels).clip(0, 255, out=pixels).astype(np.uint8)


def _register_heif() -> None:
    if "HEIF" not in Image.OPEN:
        import pi_heif

        pi_heif.register_heif_opener()


def _exif_fields(image: Image.Image) -> dict[str, MetadataValue]:
    """Date, camera and position; a broken EXIF block costs its fields, not the picture."""
    fields: dict[str, MetadataValue] = {}
    with suppress(Exception):
        exif = image.getexif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        taken = _taken_at(details) or _taken_at(exif)
        if taken:
            fields["taken_at"] = taken
            fields["year"] = taken.year
        camera = _camera(exif)
        if camera:
            fields["camera"] = camera
        fields.update(_position(exif.get_ifd(ExifTags.IFD.GPSInfo)))
    return fields


def _orientation(image: Image.Image) -> int:
    with suppress(Exception):
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _taken_at(exif: Any) -> datetime | None:
    """The moment of exposure; without a stated offset the camera's clock is taken as UTC."""
    text = exif.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    offset = exif.get(ExifTags.Base.OffsetTimeOriginal) or exif.get(ExifTags.Base.OffsetTime)
    with suppress(ValueError, TypeError):
        taken = datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
        with suppress(ValueError):
            zone = datetime.strptime(str(offset).strip("\0 "), "%z").tzinfo if offset else UTC
            return taken.replace(tzinfo=zone).astimezone(UTC)
        return taken.replace(tzinfo=UTC)
    return None


def _camera(exif: Any) -> str:
    make = " ".join(str(exif.get(ExifTags.Base.Make) or "").strip("\0 ").split())
    model = " ".join(str(exif.get(ExifTags.Base.Model) or "").strip("\0 ").split())
    if make and model.lower().startswith(make.split()[0].lower()):
        return model
    return f"{make} {model}".strip()


def _position(gps: Any) -> dict[str, MetadataValue]:
    """Latitude and longitude in degrees, north and east positive."""
    names = (
        ("latitude", ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "S"),
        ("longitude", ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "W"),
    )
    fields: dict[str, MetadataValue] = {}
    for name, value, reference, negative in names:
        if value not in gps:
            return {}
        degrees, minutes, seconds = (float(part) for part in gps[value])
        angle = degrees + minutes / 60 + seconds / 3600
        if angle != angle:  # noqa: PLR0124 - NaN: written by phones without a fix
            return {}
        sign = -1 if str(gps.get(reference, "")).upper().startswith(negative) else 1
        fields[name] = round(sign * angle, 7)
    return fields
