"""Pictures -> pixel values, as the model's own processor makes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import EncoderError
from polyseek.core.types import Floats, Signal
from polyseek.encode.spec import PictureSpec

if TYPE_CHECKING:
    from PIL.Image import Image

_T = TypeVar("_T")

LONGEST_RATIO = 64
"""Of a longer panorama only the middle is looked at: resizing it whole could take gigabytes."""


@dataclass(frozen=True)
class PicturePrepare:
    """A PIL image of any mode that converts to RGB -> uint8, resized and cropped.

    The same pixels as the image processors of `transformers` make with Pillow.
    """

    spec: PictureSpec

    def __call__(self, signal: Signal) -> NDArray[np.uint8]:
        """``(height, width, 3)`` uint8."""
        pixels = self.whole(signal)
        return _centre(pixels, self.spec) if self.spec.crop else pixels

    def whole(self, signal: Signal) -> NDArray[np.uint8]:
        """``(height, width, 3)`` uint8, resized but not cropped."""
        from PIL import Image

        if not isinstance(signal, Image.Image):
            raise EncoderError(f"expected a picture, got {type(signal).__name__}")
        image = signal if signal.mode == "RGB" else signal.convert("RGB")
        return np.asarray(_resized(_without_ends(image), self.spec))


@dataclass(frozen=True)
class ShotPrepare:
    """The frames of a video shot -> ``(frames, height, width, 3)`` uint8.

    Attributes:
        each: Preprocessing of one frame.
        count: How many frames the tower takes, spread evenly over the shot; 0 for all there are.
    """

    each: Callable[[Signal], NDArray[np.uint8]]
    count: int = 0

    def __call__(self, signal: Signal) -> NDArray[np.uint8]:
        """See the class."""
        frames = frames_of(signal)
        if self.count:
            frames = spread(frames, self.count)
        made = [self.each(frame) for frame in frames]
        if len({pixels.shape for pixels in made}) > 1:  # patches keep a picture's shape
            size = frames[0].size
            made = [self.each(frame.resize(size)) for frame in frames]
        return np.stack(made)


@dataclass(frozen=True)
class ClipsPrepare:
    """The frames of a video shot -> ``(clips * crops, frames, height, width, 3)`` uint8.

    Attributes:
        spec: How a frame is made ready.
        count: Frames of a clip; of a shot with fewer, some twice.
        clips: Most clips.
    """

    spec: PictureSpec
    count: int
    clips: int

    def __call__(self, signal: Signal) -> NDArray[np.uint8]:
        """See the class."""
        frames = frames_of(signal)
        clips = min(self.clips, math.ceil(len(frames) / self.count))
        size = frames[0].size
        each = PicturePrepare(self.spec)
        made = [each.whole(frame if frame.size == size else frame.resize(size)) for frame in frames]
        shown = np.stack(spread(made, clips * self.count))
        crops = np.stack(_crops(shown, self.spec))
        pixels: NDArray[np.uint8] = np.concatenate(np.split(crops, clips, axis=1))
        return pixels


def frames_of(signal: Signal) -> list[Image]:
    """The frames of a shot.

    Raises:
        EncoderError: It is none.
    """
    if not isinstance(signal, list | tuple) or not signal:
        raise EncoderError(f"expected the frames of a shot, got {type(signal).__name__}")
    return list(signal)


def spread(items: Sequence[_T], count: int) -> list[_T]:
    """So many of them, evenly from the first to the last; some twice where there are fewer."""
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[i] for i in places]


def pixel_values(batch: Sequence[NDArray[np.generic]], spec: PictureSpec) -> Mapping[str, Any]:
    """What an image tower is fed with: ``(n, 3, height, width)`` float32, or patches.

    Shots of equally many frames become ``(n, frames, 3, height, width)``.
    """
    if spec.patch:
        return _patches(batch, spec)
    values = normalised(np.stack(batch), spec)
    return {"pixel_values": np.ascontiguousarray(np.moveaxis(values, -1, -3))}


def normalised(pixels: NDArray[np.generic], spec: PictureSpec) -> Floats:
    """``(..., 3)`` float32: ``(x * scale - mean) / std``."""
    mean, std = (np.array(each, np.float32) for each in (spec.mean, spec.std))
    values: Floats = (pixels.astype(np.float32) * np.float32(spec.scale) - mean) / std
    return values


def _resized(image: Image, spec: PictureSpec) -> Image:
    width, height = image.size
    if spec.patch:
        target = patch_size(width, height, spec)
    elif len(spec.resize) == 1:
        target = short_side(width, height, spec.resize[0])
    elif len(spec.resize) == 2:
        target = spec.resize[1], spec.resize[0]
    else:
        return image
    return image.resize(target, spec.resample)


def short_side(width: int, height: int, short: int) -> tuple[int, int]:
    """Width and height of a picture of this shape whose shorter side is `short`."""
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short


def _without_ends(image: Image) -> Image:
    width, height = image.size
    longest = LONGEST_RATIO * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, width - left, height - top))


def _centre(pixels: NDArray[np.uint8], spec: PictureSpec) -> NDArray[np.uint8]:
    """The centre of a picture; what lies outside of it is black."""
    (rows, columns), (height, width) = pixels.shape[:2], spec.crop
    top, left = (rows - height) // 2, (columns - width) // 2
    if spec.half_to_even:
        top, left = round((rows - height) / 2), round((columns - width) / 2)
    if min(top, left) >= 0:
        return pixels[top : top + height, left : left + width]
    # A crop taller than the picture starts half a row above it, rounded away from the picture.
    whole = np.zeros((max(height, rows), max(width, columns), 3), np.uint8)
    above, before = (
        math.ceil((of - inside) / 2)
        for of, inside in zip(whole.shape, (rows, columns), strict=False)
    )
    whole[above : above + rows, before : before + columns] = pixels
    top, left = max(0, top + above), max(0, left + before)
    return whole[top : top + height, left : left + width]


def _crops(pixels: NDArray[np.uint8], spec: PictureSpec) -> list[NDArray[np.uint8]]:
    """Crops of ``(n, rows, columns, 3)``, evenly along the longer side; centred along the other."""
    height, width = spec.crop
    rows, columns = pixels.shape[1:3]
    spare = max(rows - height, 0), max(columns - width, 0)
    along = 0 if rows > columns else 1
    shares = np.linspace(0, 1, spec.crops) if spec.crops > 1 else [0.5]
    made = []
    for share in shares:
        top, left = (
            math.ceil(room * (share if axis == along else 0.5)) for axis, room in enumerate(spare)
        )
        made.append(pixels[:, top : top + height, left : left + width])
    return made


def patch_size(width: int, height: int, spec: PictureSpec) -> tuple[int, int]:
    """Width and height of the largest picture of this shape with at most so many patches.

    Both are multiples of the patch's side. Source: SigLIP 2, arXiv 2502.14786, NaFlex.
    """

    def sides(scale: float) -> tuple[int, int]:
        w, h = (
            max(spec.patch, math.ceil(side * scale / spec.patch) * spec.patch)
            for side in (width, height)
        )
        return w, h

    least, most = 1e-6, 100.0
    while most - least >= 1e-5:
        middle = (least + most) / 2
        w, h = sides(middle)
        fits = (w / spec.patch) * (h / spec.patch) <= spec.max_patches
        least, most = (middle, most) if fits else (least, middle)
    return sides(least)


def _patches(batch: Sequence[NDArray[np.generic]], spec: PictureSpec) -> Mapping[str, Any]:
    side, n = spec.patch, len(batch)
    values = np.zeros((n, spec.max_patches, side * side * 3), np.float32)
    mask = np.zeros((n, spec.max_patches), np.int32)
    shapes = np.zeros((n, 2), np.int64)
    for i, picture in enumerate(batch):
        rows, columns = picture.shape[0] // side, picture.shape[1] // side
        pixels = normalised(picture, spec).reshape(rows, side, columns, side, 3)
        values[i, : rows * columns] = pixels.transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1)
        mask[i, : rows * columns] = 1
        shapes[i] = rows, columns
    return {"pixel_values": values, "pixel_attention_mask": mask, "spatial_shapes": shapes}
