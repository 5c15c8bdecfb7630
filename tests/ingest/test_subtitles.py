import io
from datetime import UTC, datetime

import pytest

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Modality, SpanUnit
from polyseek.ingest.decoders.subtitles import SubtitleDecoder
from polyseek.ingest.sources.files import FileSource

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Good morning,</i>
everyone.

2
00:00:03,000 --> 00:00:04,000
{\\an8}How are you &amp; yours?

3
00:00:09,000 --> 00:00:10,000
After a pause.
"""


def decoded(content, name="clip.srt"):
    data = content if isinstance(content, bytes) else content.encode()
    asset = Asset(
        uri=f"mem:/{name}",
        path=name,
        size_bytes=len(data),
        modified=datetime(2024, 1, 1, tzinfo=UTC),
        etag="1",
    )
    found, problem = [], None
    try:
        for media in SubtitleDecoder().open(asset, io.BytesIO(data)):
            assert media.modality is Modality.TEXT
            assert media.span.unit is SpanUnit.SECONDS
            found.append((media.span.start, media.span.end, media.signal))
    except DecodeError as error:
        problem = error.reason
    return found, problem


def test_cues_are_joined_up_to_a_pause_without_markup():
    found, problem = decoded(SRT)
    assert problem is None
    assert found == [
        (1, 4, "Good morning, everyone. How are you & yours?"),
        (9, 10, "After a pause."),
    ]


def test_cues_are_joined_up_to_a_length():
    cues = "".join(
        f"{i}\n00:00:{i:02},000 --> 00:00:{i + 1:02},000\n{'word ' * 15}{i}\n\n" for i in range(9)
    )
    found, _ = decoded(cues)
    assert [text.count("word") for _, _, text in found] == [30, 30, 30, 30, 15]
    assert [start for start, _, _ in found] == [0, 2, 4, 6, 8]


def test_webvtt_without_notes_styles_and_speakers():
    found, problem = decoded(
        "WEBVTT - A title\n\nNOTE a comment\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start\n<v Ann>Hello <00:00:01.500><c>there</c>\n\n"
        "01:00:05.250 --> 01:00:06.000\nLater\n",
        "clip.vtt",
    )
    assert problem is None
    assert found == [(1, 2, "Hello there"), (3605.25, 3606, "Later")]


def test_lines_of_live_captions_are_not_repeated():
    found, _ = decoded(
        "WEBVTT\n\n00:00.000 --> 00:01.000\nfirst line\n\n00:01.000 --> 00:02.000\n"
        "first line\nsecond line\n\n00:02.000 --> 00:03.000\nsecond line\nthird line\n",
        "clip.vtt",
    )
    assert found == [(0, 3, "first line second line third line")]


def test_broken_cues_are_left_out_and_reported():
    found, problem = decoded(SRT + "\n4\n00:00:xx --> 00:00:12,000\nLost\n\n5\n"
                             "00:00:20,000 --> 00:00:19,000\nBackwards\n\n6\n"
                             "00:00:30,000 --> 00:00:31,000\nKept\n")  # fmt: skip
    assert [text for _, _, text in found][-1] == "Kept"
    assert "Lost" not in str(found)
    assert problem == "2 cues cannot be read: line 15, 19"


def test_cues_that_start_together_are_one_passage():
    long = "word " * 60
    found, _ = decoded(
        f"1\n00:00:01,000 --> 00:00:02,000\n{long}a\n2\n00:00:01,000 --> 00:00:02,000\n{long}b\n"
    )
    assert [(start, end) for start, end, _ in found] == [(1, 2)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding):
    text = "Übermäßig große Häuser stehen in der Straße. Das wäre schön für Jörg."
    found, _ = decoded(f"1\r\n00:00:01,000 --> 00:00:02,000\r\n{text}\r\n".encode(encoding))
    assert found == [(1, 2, text)]


@pytest.mark.parametrize("content", ["no subtitles at all", "WEBVTT\n\n", SRT[:20], "\n"])
def test_a_file_without_cues_is_an_error(content):
    found, problem = decoded(content)
    assert found == []
    assert problem


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(SRT)


def companions(root):
    return {a.path: [c.path for c in a.companions] for a in FileSource(root).list()}


def test_subtitles_beside_a_recording_belong_to_it(tmp_path):
    touch(tmp_path, "a/clip.mp4", "a/clip.srt", "a/clip.en.VTT", "a/clip.pt-BR.forced.srt")
    touch(tmp_path, "a/song.mp3", "a/song.vtt", "b/clip.srt", "a/clip.part2.srt", "a/alone.srt")
    assert companions(tmp_path) == {
        "a/alone.srt": [],
        "a/clip.mp4": ["a/clip.en.VTT", "a/clip.pt-BR.forced.srt", "a/clip.srt"],
        "a/clip.part2.srt": [],
        "a/song.mp3": ["a/song.vtt"],
        "b/clip.srt": [],
    }
    assert companions(tmp_path / "a/clip.mp4") == {"clip.mp4": companions_of_clip(tmp_path)}


def companions_of_clip(root):
    (clip,) = (a for a in FileSource(root).list() if a.path == "a/clip.mp4")
    return [c.path.removeprefix("a/") for c in clip.companions]


def test_an_etag_changes_with_the_subtitles(tmp_path):
    touch(tmp_path, "clip.mp4")
    tags = [next(FileSource(tmp_path).list()).etag]
    for content in (SRT, SRT + "\n"):
        (tmp_path / "clip.srt").write_text(content)
        (clip,) = FileSource(tmp_path).list()
        tags.append(clip.etag)
    assert len(set(tags)) == 3
    source = FileSource(tmp_path)
    with source.open(clip.companions[0]) as stream:
        assert stream.read().decode() == SRT + "\n"


def test_a_recording_that_is_left_out_leaves_its_subtitles(tmp_path):
    from polyseek.core.config import IndexOptions

    touch(tmp_path, "clip.mp4", "clip.srt")
    texts = FileSource(tmp_path, IndexOptions(exclude=["*.mp4"])).list()
    assert [asset.path for asset in texts] == ["clip.srt"]
    (clip,) = FileSource(tmp_path, IndexOptions(exclude=["*.srt"])).list()
    assert clip.companions == ()
    (clip,) = FileSource(tmp_path, IndexOptions(include=["*.mp4"])).list()
    assert len(clip.companions) == 1


def test_subtitles_that_cannot_be_read_are_a_problem_of_the_recording(tmp_path):
    touch(tmp_path, "clip.mp4")
    (tmp_path / "clip.srt").symlink_to(tmp_path / "nowhere")
    (clip,) = FileSource(tmp_path).list()
    assert "clip.srt" in clip.problem
