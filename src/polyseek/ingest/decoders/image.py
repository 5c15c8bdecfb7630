"""Still pictures, through Pillow; HEIC through pi-heif."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, MetadataValue, Modality

DRAFT_SIDE = 512
"""JPEGs are decoded at a reduced scale, with neither side below this, in pixels."""

MAX_PIXELS = 200_000_000
"""Larger pictures are refused: they would take gigabytes to decode."""


class ImageDecoder:
    """JPEG, PNG, WebP, GIF (first frame), BMP, TIFF, AVIF, HEIC as upright RGB on white."""

    suffixes = frozenset(
        ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .avif .heic .heif "
        ".jp2 .ppm .pgm .pbm .tga .ico".split()
    )

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        _register_heif()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what it repairs, e.g. odd EXIF
            try:
                yield self._decode(asset, stream)
            except DecodeError:
                raise
            except UnidentifiedImageError:
                raise DecodeError(asset.uri, "is no picture in a format that is known") from None
            except Image.DecompressionBombError as error:
                raise DecodeError(asset.uri, str(error)) from error
            # Pillow's plug-ins raise what they meet (OSError, SyntaxError, struct.error, ...).
            except Exception as error:
                reason = str(error) or type(error).__name__
                raise DecodeError(asset.uri, f"broken picture: {reason}") from error

    def _decode(self, asset: Asset, stream: BinaryIO) -> Media:
        # Our own limit, after the header and before the pixels, names the picture's size.
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(stream) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DecodeError(
                    asset.uri,
                    f"too large: {width} x {height} pixels, the limit is {MAX_PIXELS:,} in all",
                )
            metadata: dict[str, MetadataValue] = {"format": str(image.format).lower()}
            metadata.update(_exif_fields(image))
            if image.format == "JPEG":
                image.draft(image.mode, (DRAFT_SIDE, DRAFT_SIDE))
            image.load()
            upright = ImageOps.exif_transpose(image)
            turned = (upright.width > upright.height) != (image.width > image.height)
            metadata["width"], metadata["height"] = (height, width) if turned else (width, height)
            return Media(modality=Modality.IMAGE, signal=flatten(upright), metadata=metadata)


def flatten(image: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB: transparency over white, 16-bit and float scaled to 8-bit."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_to_8_bit(image)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> NDArray[np.uint8]:
    pixels = np.asarray(image, dtype=np.float64)
    pixels = np.nan_to_num(pixels, posinf=0, neginf=0)
    if image.mode == "F":
        low, high = pixels.min(), pixels.max()
        scaled = (pixels - low) / (high - low or 1) * 255
    elif pixels.max(initial=0) <= 255:  # an 8-bit picture in a wider mode
        scaled = pixels
    else:
        scaled = pixels / 257
    clipped: NDArray[np.uint8] = np.clip(np.round(scaled), 0, 255).astype(np.uint8)
    return clipped


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
