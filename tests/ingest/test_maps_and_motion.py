"""Depth maps, thermal images and motion: what their files say, and what is refused."""

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from polyseek.core.config import IndexOptions
from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Modality, Motion
from polyseek.ingest.decode import decoder_for, decoders, suffix_of
from polyseek.ingest.segmenters.motion import MotionSegmenter

NAMES = "time,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"


def asset(name, **fields):
    now = datetime(2024, 5, 31, tzinfo=UTC)
    return Asset(
        uri=f"mem:/{name}", path=name, size_bytes=1, modified=now, etag="1", metadata=fields
    )


def media(name, content, **fields):
    of = asset(name, **fields)
    return next(decoder_for(of, decoders()).open(of, io.BytesIO(content)))


def picture(values, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind, **options)
    return stream.getvalue()


def npy(values, **options):
    stream = io.BytesIO()
    np.save(stream, values, **options)
    return stream.getvalue()


def refused(name, content, match, **fields):
    with pytest.raises(DecodeError, match=match):
        list(media(name, content, **fields).signal)


def test_a_files_last_two_endings_say_what_it_is():
    known = decoders()
    for name, suffix in (
        ("room.depth.png", ".depth.png"),
        ("a.b/Room.DEPTH.PNG", ".depth.png"),
        ("my room.v2.png", ".png"),
        ("depth.png", ".png"),
        ("notes.depth.txt", ".txt"),
        ("walk.imu.csv", ".imu.csv"),
        ("README", ""),
    ):
        assert suffix_of(name, known) == suffix


def test_depth_in_millimetres_and_metres():
    mm = np.array([[0, 1500], [8000, 65535]], np.uint16)
    metres = np.array([[0, 1.5], [8, 65.535]], np.float32)
    whole = media("a.depth.png", picture(mm))
    assert (whole.modality, whole.metadata["nearest_m"]) == (Modality.DEPTH, 1.5)
    assert whole.metadata["farthest_m"] == 65.535
    for name, content in (
        ("a.depth.png", picture(mm)),
        ("a.depth.tif", picture(mm, "TIFF")),
        ("a.depth.tif", picture(metres, "TIFF")),
        ("a.depth.npy", npy(metres)),
        ("a.depth.npy", npy(mm)),
        ("a.depth.npy", npy(metres.astype(np.float64)[None])),
    ):
        np.testing.assert_allclose(media(name, content).signal, metres)
    unknown = np.array([[np.nan, np.inf], [-1, 2]], np.float32)
    np.testing.assert_array_equal(media("a.depth.npy", npy(unknown)).signal, [[0, 0], [0, 2]])


def test_depth_that_is_none():
    refused("a.depth.png", picture(np.full((4, 5), 9, np.uint8)), "has 8 bits; a depth map has 16")
    refused("a.depth.png", picture(np.zeros((4, 5, 3), np.uint8)), "colours cannot be turned back")
    refused("a.depth.png", picture(np.zeros((4, 5), np.uint16)), "every point is 0 or not known")
    refused("a.depth.npy", npy(np.full((3, 3), np.nan)), "every point is 0 or not known")
    refused("a.depth.npy", npy(np.zeros(7)), r"one value for each point.*\(7,\)")
    refused("a.depth.npy", npy(np.zeros((0, 3))), "has 0 points; expected 1 to")
    refused("a.depth.npy", npy(np.array(["a"])), "expected an array of numbers, got <U1")
    refused("a.depth.npy", npy(np.array([{}]), allow_pickle=True), "is no readable .npy file")
    refused("a.depth.npy", npy(np.zeros((9, 9)))[:200], "is no readable .npy file")
    huge = npy(np.zeros((9, 9))).replace(b"(9, 9)", b"(9999999, 9999999)")
    refused("a.depth.npy", huge, "is no readable .npy file")


def test_warmth_is_lightness_or_stretched_temperature():
    grey = np.array([[0, 51], [255, 102]], np.uint8)
    light = grey / np.float32(255)
    kelvin = np.array([[29_000, 29_400], [31_000, 29_800]], np.uint16)
    for name, content in (
        ("a.thermal.png", picture(grey)),
        ("a.thermal.png", picture(np.stack([grey] * 3, axis=-1))),
        ("a.thermal.npy", npy(grey)),
        ("a.thermal.tif", picture(kelvin, "TIFF")),
        ("a.thermal.npy", npy(kelvin / 100 - 273.15)),
    ):
        found = media(name, content)
        assert found.modality is Modality.THERMAL
        np.testing.assert_allclose(found.signal, light, atol=1e-3)
    assert media("a.thermal.npy", npy(np.full((2, 2), 20.0))).signal.max() == 0
    holes = media("a.thermal.npy", npy(np.array([[np.nan, 1.0], [3.0, np.inf]]))).signal
    np.testing.assert_array_equal(holes, [[0, 0], [1, 1]])
    refused("a.thermal.npy", npy(np.full((2, 2), np.nan)), "no point is a finite number")
    refused("a.thermal.npy", npy(np.zeros((2, 2, 3))), r"\(height, width\), got the shape")
    refused("a.thermal.png", b"\x89PNG\r\n\x1a\n", "is no readable picture")


def test_a_camera_held_upright_took_an_upright_map():
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: the top is at the right
    content = picture(np.array([[10, 200]], np.uint8), "PNG", exif=turned)
    found = media("a.thermal.png", content)
    np.testing.assert_allclose(found.signal, np.array([[10], [200]]) / 255, atol=1e-6)
    assert (found.metadata["width"], found.metadata["height"]) == (1, 2)


def csv(times, names=NAMES, end="\n"):
    rows = [f"{time},{i},{-i},9.8,0.1,0.2,0.3" for i, time in enumerate(times)]
    return end.join([names, *rows] if names else rows).encode()


def motion(name, content, **fields):
    return list(media(name, content, **fields).signal)


@pytest.mark.parametrize(
    ("names", "per_s"),
    [
        (NAMES, 1),
        (NAMES.replace("time", "timestamp_ns"), 1e9),
        (NAMES.replace("time", "Timestamp (ms)"), 1e3),
        (NAMES.replace("time", "timestamp"), 1e6),  # 50 Hz in microseconds: no other unit fits
        ("t,ax,ay,az,gx,gy,gz", 1),
        ("seconds,Accelerometer_X,Accelerometer_Y,Accelerometer_Z,Gyroscope X,Gyroscope Y,"
         "Gyroscope Z", 1),
        ("time,accel_x (m/s^2),accel_y (m/s^2),accel_z (m/s^2),wx,wy,wz", 1),
        ("", 1e3),
    ],
)  # fmt: skip
def test_motion_of_a_table(names, per_s):
    times = [1000 + i * per_s / 50 for i in range(100)]
    (found,) = motion("a.imu.csv", csv(times, names))
    assert found.sample_rate_hz == pytest.approx(50)
    assert found.start_s == 0
    np.testing.assert_allclose(found.samples[0], np.arange(100), atol=1e-3)
    np.testing.assert_allclose(found.samples[1:, 3], [-3, 9.8, 0.1, 0.2, 0.3], atol=1e-3)


def test_columns_in_any_order_among_others():
    names = "gyro_z,gyro_y,gyro_x,temperature,acc_z,acc_y,acc_x,time"
    rows = [f"6;5;4;21;3;2;1;{i / 100}" for i in range(10)]
    (found,) = motion("a.imu.csv", "\n".join([names.replace(",", ";"), *rows]).encode())
    np.testing.assert_allclose(found.samples[:, 4], [1, 2, 3, 4, 5, 6])


def test_a_hole_begins_a_new_stretch_and_uneven_times_become_even():
    times = [*np.arange(50) / 50, *(2 + np.arange(50) / 50)]
    first, second = motion("a.imu.csv", csv(times))
    assert (first.start_s, second.start_s) == (0, 2)
    assert first.samples.shape == second.samples.shape == (6, 50)
    late = np.arange(50) / 50
    late[20] += 0.004
    (found,) = motion("a.imu.csv", csv(late))
    np.testing.assert_allclose(found.samples[0, [19, 21]], [19, 21], atol=0.01)
    assert 19 < found.samples[0, 20] < 20
    skipped = csv(np.arange(50) / 50).replace(b"\n0.4,20,", b"\n0.4,,")
    (found,) = motion("a.imu.csv", skipped)
    np.testing.assert_allclose(found.samples[0], np.arange(50), atol=1e-3)


def test_moments_that_come_in_bursts_do_not_become_a_flood():
    bursts = (np.arange(40)[:, None] / 10 + np.arange(3) * 1e-9).reshape(-1)
    (found,) = motion("a.imu.npy", npy(np.column_stack([bursts, np.zeros((120, 6))])))
    assert found.sample_rate_hz == 8000
    assert found.samples.shape == (6, 3.9 * 8000 + 1)


def test_motion_of_an_array():
    rows = np.column_stack([np.arange(30) / 10, np.arange(180).reshape(30, 6)])
    for values in (rows, rows.T):
        (found,) = motion("a.imu.npy", npy(values))
        assert found.sample_rate_hz == pytest.approx(10)
        np.testing.assert_allclose(found.samples[:, 2], range(12, 18), atol=1e-4)
    (found,) = motion("a.imu.npy", npy(rows[:, 1:]), sample_rate_hz=25)
    assert (found.sample_rate_hz, found.end_s) == (pytest.approx(25), pytest.approx(1.2))


def test_motion_that_is_none():
    refused("a.imu.npy", npy(np.zeros((30, 6))), "no time column, and no field 'sample_rate_hz'")
    refused("a.imu.npy", npy(np.zeros((30, 6))), "'sample_rate_hz'", sample_rate_hz="fast")
    refused("a.imu.npy", npy(np.zeros((30, 5))), r"the shape \(30, 5\); expected \(moments, 7\)")
    refused("a.imu.npy", npy(np.zeros((1, 7))), "has 1 whole moments; expected 2 or more")
    refused("a.imu.npy", npy(np.zeros((30, 7))), "times do not rise")
    refused("a.imu.csv", csv([0, 2, 1, 3, 4]), "times do not rise")
    refused("a.imu.csv", csv([0, 1, "x"]), "line 4: expected numbers")
    refused("a.imu.csv", csv([0, 1], NAMES.replace("gyro_y", "pitch")), "no column of rotation y")
    refused("a.imu.csv", b"1,2,3\n4,5,6\n", "has 3 columns without names; expected 7")
    refused("a.imu.csv", b"hello\nworld\n", "no column of acceleration x; it has hello")
    refused("a.imu.csv", NAMES.encode(), "has 0 whole moments")


def test_windows_of_motion():
    def windows(seconds, rate=20.0, **options):
        signal = iter([Motion(samples=np.zeros((6, int(seconds * rate))), sample_rate_hz=rate)])
        found = media("a.imu.csv", csv([0, 1]))
        found = type(found)(modality=found.modality, signal=signal)
        made = MotionSegmenter(IndexOptions(**options)).split(asset("a.imu.csv"), found)
        return [(s.span and (s.span.start, s.span.end)) for s in made]

    assert windows(7) == windows(10) == windows(10.2) == [None]
    assert windows(21) == [(0, 10), (5, 15), (10, 20), (15, 21)]
    assert windows(20.3) == [(0, 10), (5, 15), (10, 20)]
    assert windows(4, window_s=2, hop_s=2) == [(0, 2), (2, 4)]
