"""Speech: stretches, times, what is not sure, and an engine that fails."""

import numpy as np
import pytest
from fake_recognisers import FakeSpeechRecogniser

from polyseek.core.config import IndexOptions
from polyseek.core.errors import DecodeError
from polyseek.core.types import Media, Modality, Sound
from polyseek.ingest.decode import Toolbox, decode, segmenters
from polyseek.ingest.listening import RATE_HZ, STRETCH_S, Listening
from polyseek.ingest.recognise import Recognisers
from polyseek.ingest.sources.files import FileSource


def sounds(seconds, *, rate=RATE_HZ, start_s=0.0, quiet_at=()):
    """A loud noise in blocks of a second, with pauses of half a second."""
    wave = np.random.default_rng(0).normal(0, 0.2, round(seconds * rate)).astype(np.float32)
    for at_s in quiet_at:
        wave[round(at_s * rate) : round((at_s + 0.5) * rate)] *= 0.001
    for start in range(0, len(wave), rate):
        yield Sound(
            samples=wave[start : start + rate],
            sample_rate_hz=rate,
            start_s=start_s + start / rate,
        )


def heard(blocks, recogniser=None):
    recogniser = recogniser or FakeSpeechRecogniser()
    listening = Listening(recogniser, "mem:/a", {"x": 1})
    segments = []
    for _ in listening.through(iter(blocks)):
        segments += listening.passages()
    return segments + list(listening.passages(ended=True)), recogniser, listening


def test_a_short_recording_is_one_stretch():
    (segment,), recogniser, _ = heard(sounds(4.5, rate=44_100))
    assert segment.modality is Modality.TEXT
    assert segment.span.start == 0
    assert segment.span.end == pytest.approx(4.5, abs=0.01)
    assert segment.text == segment.signal == "4.5 seconds"
    assert segment.metadata == {"x": 1, "text_source": "asr"}
    (sound,) = recogniser.stretches
    assert (sound.sample_rate_hz, sound.samples.dtype) == (16_000, np.float32)


def test_a_long_one_is_cut_in_its_pauses_and_nothing_is_lost_or_heard_twice():
    segments, recogniser, _ = heard(sounds(100, quiet_at=(27, 44, 70)))
    starts = [sound.start_s for sound in recogniser.stretches]
    assert starts[:4] == [pytest.approx(t, abs=0.5) for t in (0, 27.2, 44.2, 70.2)]
    lengths = [len(sound.samples) for sound in recogniser.stretches]
    assert sum(lengths) == pytest.approx(100 * RATE_HZ, abs=100)
    assert max(lengths) <= STRETCH_S * RATE_HZ
    assert len(segments) == len(recogniser.stretches)


def test_no_more_than_a_stretch_is_kept():
    listening = Listening(FakeSpeechRecogniser(), "mem:/a", {})
    for _ in listening.through(sounds(120)):
        assert sum(map(len, listening._stretch)) <= (STRETCH_S + 1) * RATE_HZ
        list(listening.passages())


def test_a_hole_in_the_recording_moves_the_clock():
    segments, _, _ = heard([*sounds(3, start_s=0.3), *sounds(2, start_s=60)])
    spans = [(round(s.span.start, 1), round(s.span.end, 1)) for s in segments]
    assert spans == [(0.3, 3.3), (60, 62)]


def test_what_is_not_sure_to_be_speech_is_left_out():
    assert heard(sounds(3), FakeSpeechRecogniser(confidence=0.2))[0] == []


def test_the_recording_is_passed_on_as_it_is():
    blocks = list(sounds(40, rate=22_050))
    listening = Listening(FakeSpeechRecogniser(), "mem:/a", {})
    assert list(listening.through(iter(blocks))) == blocks


class BrokenRecording:
    suffixes = frozenset({".rec"})

    def open(self, asset, stream):
        def signal():
            yield from sounds(5)
            if asset.path.startswith("broken"):
                raise DecodeError(asset.uri, "the audio track breaks off")

        yield Media(modality=Modality.AUDIO, signal=signal(), duration_s=5)


def decoded(tmp_path, name, recogniser, towers=(Modality.TEXT, Modality.AUDIO)):
    (tmp_path / name).write_text("x")
    source = FileSource(tmp_path / name)
    tools = Toolbox(
        source=source,
        decoders={".rec": BrokenRecording()},
        segmenters=segmenters(IndexOptions()),
        prepare={m: str if m is Modality.TEXT else lambda s: s.samples for m in towers},
        recognisers=Recognisers(speech=recogniser),
    )
    (asset,) = source.list()
    *_, last = parts = list(decode(asset, tools))
    return [segment.modality for part in parts for segment in part.segments], last.reason


def test_what_was_said_before_a_recording_breaks_off_is_kept(tmp_path):
    modalities, reason = decoded(tmp_path, "broken.rec", FakeSpeechRecogniser())
    assert modalities == [Modality.AUDIO, Modality.TEXT]
    assert reason == "the audio track breaks off"


def test_an_engines_error_costs_the_words(tmp_path):
    engine = FakeSpeechRecogniser(error=RuntimeError("no luck"))
    modalities, reason = decoded(tmp_path, "a.rec", engine)
    assert modalities == [Modality.AUDIO]
    assert reason == "what is said cannot be written down: RuntimeError: no luck"


def test_an_encoder_that_hears_nothing_gets_the_words(tmp_path):
    found = decoded(tmp_path, "a.rec", FakeSpeechRecogniser(), towers=(Modality.TEXT,))
    assert found == ([Modality.TEXT], None)
