import io

import numpy as np
import pytest

from polyseek.core.types import Role
from polyseek.encode.mini_multilingual import MultilingualHead, english_share, own_space
from polyseek.encode.towers import unit

WORDS = frozenset("a dog runs in the snow t-shirt red hot".split())


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("a dog runs", 1.0),
        ("A DOG, runs!", 1.0),
        ("a red-hot t-shirt", 1.0),
        ("ein hund im schnee", 0.0),
        ("a dog läuft", 4 / 9),
        ("一只狗在雪地里", 0.0),
        ("собака", 0.0),
        ("42 + 7", 1.0),
        ("", 1.0),
    ],
)
def test_a_text_is_english_by_the_letters_of_its_known_words(text, share):
    assert english_share(text, WORDS) == pytest.approx(share)


@pytest.fixture
def spaces():
    rng = np.random.default_rng(0)
    first, second = (unit(rng.normal(size=(3, n)).astype(np.float32)) for n in (384, 512))
    english = np.array([True, False, False])
    first[~english] = 0
    return [own_space(first, second, english, role) for role in (Role.QUERY, Role.DOCUMENT)], second


def test_texts_are_unit_length_on_both_sides(spaces):
    for rows in spaces[0]:
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_a_foreign_query_compares_all_documents_on_one_scale(spaces):
    (queries, documents), second = spaces
    found = queries[1] @ documents.T
    expected = np.sqrt(1 / 3) * second[1] @ second.T
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_english_texts_are_compared_by_both_views(spaces):
    (queries, documents), _ = spaces
    assert queries[0] @ documents[0] == pytest.approx(1, rel=1e-5)
    np.testing.assert_array_equal(queries[0], documents[0])


def test_the_head_is_saved_the_same_byte_for_byte():
    rng = np.random.default_rng(0)
    head = MultilingualHead(
        sentence_map=rng.normal(size=(512, 8)).astype(np.float32),
        function_words=frozenset({"the", "a", "of"}),
    )
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        head.save(file)
    assert files[0].getvalue() == files[1].getvalue()
    files[0].seek(0)
    read = MultilingualHead.load(files[0])
    assert read.function_words == head.function_words
    found = read(unit(rng.normal(size=(4, 512)).astype(np.float32)))
    assert found.shape == (4, 9)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert (found[:, -1] == 0).all()
