"""The multilingual encoder on its real files: translations, and the English of `mini`."""

import numpy as np
import pytest

from polyseek.core.config import resolve_settings
from polyseek.core.types import Modality, Role
from polyseek.encode import mini, mini_multilingual

pytestmark = [pytest.mark.slow, pytest.mark.network]

ENGLISH = ("a dog runs through the snow", "a child eats an ice cream", "a train in a station")
OTHERS = {
    "de": ("ein Hund läuft durch den Schnee", "ein Kind isst ein Eis", "ein Zug im Bahnhof"),
    "es": ("un perro corre por la nieve", "un niño come un helado", "un tren en una estación"),
    "fr": ("un chien court dans la neige", "un enfant mange une glace", "un train dans une gare"),
    "ru": ("собака бежит по снегу", "ребёнок ест мороженое", "поезд на вокзале"),
    "zh": ("一只狗在雪地里奔跑", "一个孩子在吃冰淇淋", "火车站里的一列火车"),
    "ja": ("犬が雪の中を走る", "子供がアイスクリームを食べる", "駅の電車"),
    "ar": ("كلب يجري في الثلج", "طفل يأكل الآيس كريم", "قطار في المحطة"),
    "th": ("สุนัขวิ่งในหิมะ", "เด็กกินไอศกรีม", "รถไฟในสถานี"),
}


@pytest.fixture(scope="module")
def encoder():
    return mini_multilingual.load(resolve_settings())


@pytest.fixture(scope="module")
def english(encoder):
    return encoder.encode(Modality.TEXT, ENGLISH, role=Role.DOCUMENT)


def test_english_is_embedded_as_by_mini(english):
    own = mini.load(resolve_settings()).encode(Modality.TEXT, ENGLISH, role=Role.DOCUMENT)
    np.testing.assert_allclose(english.shared, own.shared, atol=1e-6)


@pytest.mark.parametrize("language", OTHERS)
def test_a_sentence_lies_where_its_translation_does(encoder, english, language):
    asked = encoder.encode(Modality.TEXT, OTHERS[language], role=Role.QUERY)
    shared = asked.shared @ english.shared.T
    assert shared.argmax(axis=1).tolist() == [0, 1, 2]
    own = asked.tower @ english.tower.T
    assert own.argmax(axis=1).tolist() == [0, 1, 2]


def test_a_pinned_cosine(encoder):
    rows = encoder.encode(Modality.TEXT, ["собака бежит по снегу", "一列火车"], role=Role.QUERY)
    np.testing.assert_allclose(rows.tower[0] @ rows.tower[1], 0.197, atol=0.01)
