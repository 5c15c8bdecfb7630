import io

import numpy as np
import pytest
from PIL import Image

from polyseek.core.errors import EncoderError
from polyseek.encode.heads import Heads, words_of
from polyseek.encode.towers import ClipPrepare, unit


def heads(**changes):
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(512, 8)))
    values = {
        "sentence_map": rng.normal(size=(384, 8)).astype(np.float32),
        "words": ["dog", "red", "t-shirt"],
        "word_vectors": rng.integers(-127, 128, size=(3, 8)).astype(np.int8),
        "word_weights": np.array([1.0, 2.0, 3.0], np.float32),
        "word_share": 0.5,
        "basis": basis.astype(np.float32),
        "image_mean": np.full(512, 0.01, np.float32),
    }
    return Heads(**{**values, **changes})


def rows(n, dim, seed=1):
    return unit(np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32))


def test_both_sides_are_unit_length_and_of_the_same_dimension():
    h = heads()
    texts = h.text(rows(3, 384), ["a dog", "nothing known", ""])
    images = h.image(rows(5, 512))
    assert texts.shape == (3, h.dim) == (3, 9)
    assert images.shape == (5, 9)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-5)


def test_cosines_rank_pictures_by_the_inner_product_of_centred_vectors():
    h = heads()
    tower = rows(20, 512)
    text = h.text(rows(1, 384), ["a red dog"])
    expected = ((tower - h.image_mean) @ h.basis) @ text[0, :-1]
    assert (np.argsort(h.image(tower) @ text[0]) == np.argsort(expected)).all()


def test_a_picture_far_from_everything_stays_finite_and_unit():
    h = heads(image_mean=np.full(512, -0.2, np.float32))
    far = h.image(unit(np.ones((1, 512), np.float32)))
    assert np.isfinite(far).all()
    assert np.linalg.norm(far) == pytest.approx(1, rel=1e-5)


def test_words_count_by_weight_and_unknown_words_not_at_all():
    only_words = heads(word_share=1.0)
    tower = rows(1, 384)
    one = only_words.text(tower, ["Dog!"])
    np.testing.assert_allclose(one, only_words.text(tower, ["the dog xyzzy"]), rtol=1e-5)
    dog, red = unit(only_words.word_vectors[:2].astype(np.float32))
    both = only_words.text(tower, ["red dog"])[0, :-1]
    np.testing.assert_allclose(both, unit((dog + 2 * red)[None])[0], rtol=1e-4)
    assert words_of("A T-shirt, and Dogs.") == ["a", "t-shirt", "and", "dogs"]


def test_a_text_without_known_words_is_its_sentence():
    h = heads()
    tower = rows(1, 384)
    sentence = unit(tower @ h.sentence_map)
    np.testing.assert_allclose(h.text(tower, ["犬"])[0, :-1], sentence[0], rtol=1e-5)


def test_words_one_by_one():
    vectors, weights = heads().words_in("A red, red DOG barks")
    assert vectors.shape == (3, 9)
    assert weights.tolist() == [2, 2, 1]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_text_without_known_words_has_no_words():
    vectors, weights = heads().words_in("woof")
    assert (vectors.shape, weights.shape) == ((0, 9), (0,))


def test_saving_is_lossless_enough_and_byte_identical():
    first, second = io.BytesIO(), io.BytesIO()
    heads().save(first)
    heads().save(second)
    assert first.getvalue() == second.getvalue()
    loaded = Heads.load(io.BytesIO(first.getvalue()))
    tower = rows(4, 384)
    texts = ["dog", "red", "x", "t-shirt dog"]
    np.testing.assert_allclose(loaded.text(tower, texts), heads().text(tower, texts), atol=2e-3)


def test_preprocessing_keeps_the_centre_square():
    wide = Image.new("RGB", (600, 300), (0, 0, 255))
    wide.paste((255, 0, 0), (150, 0, 450, 300))
    pixels = ClipPrepare()(wide)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert (pixels[:, 2:-2] == (255, 0, 0)).all()
    assert ClipPrepare()(Image.new("L", (1, 1000))).shape == (224, 224, 3)
    with pytest.raises(EncoderError, match="expected a picture, got str"):
        ClipPrepare()("text")
