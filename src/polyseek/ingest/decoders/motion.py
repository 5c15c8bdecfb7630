"""Motion: what an inertial measurement unit (IMU) writes down, as ``.imu.csv`` and ``.imu.npy``."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, Modality, Motion
from polyseek.ingest.decoders.maps import read_array
from polyseek.ingest.decoders.text import read_text

RATE_FIELD = "sample_rate_hz"
"""Metadata field beside the file that says the rate, where the file has no time."""

_MAX_GAP_S = 0.5
_AXES = tuple(f"{kind} {axis}" for kind in ("acceleration", "rotation") for axis in "xyz")
_ACCELERATION = r"(?:linear)?acc(?:el(?:eration|erometer)?)?|a"
_ROTATION = r"gyro(?:scope)?|angular_?velocity|rotation(?:_?rate)?|omega|g|w"
_TIME = re.compile(r"(?:t|time|timestamp|time_?stamp|seconds|sec|s)(?:_?(?P<unit>s|ms|us|ns))?")
_PER_S = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_SLOWEST_HZ, _FASTEST_HZ = 10, 1000
_MOST_HZ = 8000
"""No faster than any such unit: of moments that come in bursts most steps are next to nothing."""


class MotionDecoder:
    """Six numbers a moment: acceleration along x, y, z in m/s², rotation about x, y, z in rad/s.

    A CSV file names its columns (``acc_x``, ``gyro_z``, ``timestamp_ms``, ...) or has time and the
    six in this order, as a ``.npy`` file of ``(moments, 7)`` has. Without a time, the field
    `RATE_FIELD` must be known of the file. Where more than half a second is missing, a new stretch
    begins; in between, samples are taken at an even rate.
    """

    modality = Modality.IMU
    suffixes = frozenset({".imu.csv", ".imu.npy"})

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        if asset.path.lower().endswith(".npy"):
            rows, per_s = _array(asset, stream), 1.0
        else:
            rows, per_s = _table(asset, stream)
        rows = rows[np.isfinite(rows).all(axis=1)]
        if len(rows) < 2:
            raise DecodeError(asset.uri, f"has {len(rows)} whole moments; expected 2 or more")
        times = rows[:, 0] / per_s if rows.shape[1] == 7 else _even(asset, len(rows))
        stretches = list(_stretches(asset, times - times[0], rows[:, -6:]))
        yield Media(
            modality=Modality.IMU,
            signal=iter(stretches),
            metadata={RATE_FIELD: round(stretches[0].sample_rate_hz, 3)},
            duration_s=stretches[-1].end_s,
        )


def _even(asset: Asset, count: int) -> NDArray[np.float64]:
    rate = asset.metadata.get(RATE_FIELD)
    if not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        raise DecodeError(
            asset.uri,
            f"has no time column, and no field '{RATE_FIELD}' is known of it; add a column of "
            f"seconds before the six, or the field in {asset.path}.json",
        )
    return np.arange(count) / rate


def _stretches(
    asset: Asset, times: NDArray[np.float64], values: NDArray[np.float64]
) -> Iterator[Motion]:
    steps = np.diff(times)
    step = float(np.median(steps))
    if not step > 0 or (steps < 0).any():
        raise DecodeError(asset.uri, "its times do not rise from moment to moment")
    step = max(step, 1 / _MOST_HZ)
    edges = [0, *(np.flatnonzero(steps > max(_MAX_GAP_S, 2 * step)) + 1), len(times)]
    for first, end in pairwise(edges):
        own = times[first:end]
        even = own[0] + np.arange(round((own[-1] - own[0]) / step) + 1) * step
        samples = np.stack([np.interp(even, own, axis) for axis in values[first:end].T])
        yield Motion(
            samples=samples.astype(np.float32), sample_rate_hz=1 / step, start_s=float(own[0])
        )


def _array(asset: Asset, stream: BinaryIO) -> NDArray[np.float64]:
    found = read_array(asset, stream)
    if found.ndim == 2 and found.shape[0] in (6, 7) and found.shape[1] not in (6, 7):
        found = found.T
    if found.ndim != 2 or found.shape[1] not in (6, 7):
        raise DecodeError(
            asset.uri,
            f"has the shape {found.shape}; expected (moments, 7): seconds, {', '.join(_AXES)}",
        )
    return found.astype(np.float64)


def _table(asset: Asset, stream: BinaryIO) -> tuple[NDArray[np.float64], float]:
    """Moments with their time before them, where there is one; its units per second."""
    text = read_text(asset, stream)
    separator = "\t" if "\t" in text[:1000] else ";" if ";" in text[:1000] else ","
    try:
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=separator) if line]
    except csv.Error as error:
        raise DecodeError(asset.uri, f"is no readable CSV file: {error}") from error
    if not lines:
        raise DecodeError(asset.uri, "has no lines")
    names = None if _numbers(lines[0]) else [name.strip().lower() for name in lines[0]]
    columns, unit = _columns(asset, names, len(lines[0]))
    rows = []
    for number, line in enumerate(lines[1 if names else 0 :], 2 if names else 1):
        values = _numbers([line[i] if i < len(line) else "" for i in columns])
        if values is None:
            raise DecodeError(asset.uri, f"line {number}: expected numbers, got {line[:8]}")
        rows.append(values)
    found = np.array(rows, dtype=np.float64).reshape(len(rows), len(columns))
    return found, _PER_S[unit] if unit else _units_per_s(found)


def _numbers(cells: Sequence[str]) -> list[float] | None:
    """Not measured is an empty cell."""
    try:
        return [float(cell) if cell.strip() else float("nan") for cell in cells]
    except ValueError:
        return None


def _columns(asset: Asset, names: Sequence[str] | None, count: int) -> tuple[list[int], str]:
    """Where time, if any, and the six are; the time's unit where its name tells."""
    if names is None:
        if count not in (6, 7):
            raise DecodeError(
                asset.uri,
                f"has {count} columns without names; expected 7: time, {', '.join(_AXES)}",
            )
        return list(range(count)), ""
    axes = []
    for kind, letters in ((_ACCELERATION, "xyz"), (_ROTATION, "xyz")):
        for letter in letters:
            pattern = re.compile(rf"(?:{kind})[_\s.]*{letter}(?:[^a-z].*)?")
            axes += [next((i for i, name in enumerate(names) if pattern.fullmatch(name)), -1)]
    if -1 in axes:
        raise DecodeError(
            asset.uri,
            f"has no column of {_AXES[axes.index(-1)]}; it has {', '.join(names)[:200]}; "
            "expected acc_x, acc_y, acc_z, gyro_x, gyro_y, gyro_z",
        )
    for i, name in enumerate(names):
        bare = re.sub(r"[\s()\[\]]+", "_", name).strip("_")
        if match := _TIME.fullmatch(bare):
            return [i, *axes], match["unit"] or ""
    return axes, ""


def _units_per_s(rows: NDArray[np.float64]) -> float:
    """Seconds, milli-, micro- or nanoseconds: whichever gives a rate that such a unit has."""
    if rows.shape[1] != 7 or len(rows) < 2:
        return 1.0
    step = float(np.nanmedian(np.diff(rows[:, 0])))
    for per_s in _PER_S.values():
        if per_s / _FASTEST_HZ * 0.99 <= step <= per_s / _SLOWEST_HZ:
            return per_s
    return 1.0
