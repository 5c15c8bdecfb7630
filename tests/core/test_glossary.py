import pytest

from polyseek.core.errors import ConfigError
from polyseek.core.glossary import Glossary, read_glossary

TEXT = """\ufeff# trades
PPE: hard hat, safety vest , protective gear
lift truck: forklift

Truck: lorry
"""


def parsed(text):
    return Glossary.parse(text, where="g.txt")


def test_terms_are_read_from_lines(tmp_path):
    path = tmp_path / "g.txt"
    path.write_text(TEXT, encoding="utf-8")
    found = read_glossary(path)
    assert found.terms["ppe"] == ["hard hat", "safety vest", "protective gear"]
    assert set(found.terms) == {"ppe", "lift truck", "truck"}
    assert Glossary.parse(found.text(), where="again") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no colon here", "line 1: expected 'term: expansion"),
        ("a: b\nPPE:  , ", "line 2: expected"),
        (": hat", "line 1: expected"),
        ("ppe: hat\n PPE : vest", "line 2: 'ppe' is explained twice"),
        ("# nothing\n", "explains no term"),
    ],
)
def test_what_is_no_glossary_is_an_error_with_its_line(text, message):
    with pytest.raises(ConfigError, match=message):
        parsed(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match="gone.txt: no such file"):
        read_glossary(tmp_path / "gone.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="binary: is not UTF-8 text"):
        read_glossary(tmp_path / "binary")


def test_readings_replace_whole_words_the_longest_first():
    found = parsed(TEXT.lstrip("\ufeff"))
    assert found.readings("a man with ppe on a Lift  Truck") == [
        "a man with hard hat on a forklift",
        "a man with safety vest on a forklift",
        "a man with protective gear on a forklift",
    ]
    assert found.readings("a truck") == ["a lorry"]
    assert found.readings("trucks and a hippec") == []


def test_readings_are_few_and_patterns_are_plain_text():
    many = parsed("x: " + ", ".join(f"word{i}" for i in range(30)) + "\nc++ (x): language")
    assert len(many.readings("x")) == 8
    assert many.readings("in c++ (x)") == ["in language"]
