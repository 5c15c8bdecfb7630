"""Words: what a text is looked up by, and what a query asks for."""

import pytest

from polyseek.core.words import edits_of, read_text_query, words, words_of_name


@pytest.mark.parametrize(
    ("document", "query"),
    [
        ("Two dogs are running", "a dog ran running"),
        ("Größe", "grosse"),
        ("café", "CAFE"),
        ("ﬁle", "file"),
        ("東京タワー", "東京"),
        ("東京タワー", "塔 タワー"),
        ("हिन्दी में किताब।", "किताब"),
        ("แมวนอน", "แมว"),
        ("собаки, кошки", "кошки"),
        ("шалом שָׁלוֹם", "שָׁלוֹם"),
    ],
)
def test_a_word_is_found_in_a_text(document, query):
    assert set(words(document)) & set(words(query))


def test_the_words_of_a_piece_are_a_piece_of_the_words():
    text = "東京都の犬 and a hot dog"
    whole = f" {' '.join(words(text))} "
    for piece in ("京都の", "hot dogs", "犬 and a", "東"):
        assert f" {' '.join(words(piece))} " in whole
    assert f" {' '.join(words('dog hot'))} " not in whole


def test_marks_and_blanks_are_no_words():
    assert words("  \n -- ... _ % '' 🎈") == []


def test_names_come_apart_at_humps_digits_and_signs():
    assert words_of_name("redCar_2019-beachHouse2") == ["red", "car", "2019", "beach", "hous", "2"]


def test_a_query_has_words_phrases_exclusions_and_fuzzy_words():
    read = read_text_query('a red car -rain "two black dogs" strawbery~ -"hot dog" well-known - x')
    assert read.plain == "a red car two black dogs strawbery well-known - x"
    assert read.terms == ["red", "car", "two", "black", "dog", "well", "known", "x"]
    assert read.fuzzy == ["strawberi"]
    assert read.phrases == ["two black dog"]
    assert read.without == ["rain", "hot dog"]


def test_words_that_only_hold_a_sentence_together_count_when_there_are_no_others():
    assert read_text_query("to be or a rose").terms == ["rose"]
    assert read_text_query("to be").terms == ["to", "be"]
    assert read_text_query("").terms == []


def test_short_words_are_taken_as_they_are_spelt():
    assert [edits_of("ox"), edits_of("horse"), edits_of("elephant")] == [0, 1, 2]
