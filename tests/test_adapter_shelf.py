"""What serves is what the shelf says now, in every process that has the collection open."""

import numpy as np

from polyseek.api.adapting import Shelf
from polyseek.core.adapting import Adapter, Adapters
from polyseek.core.joined import JoinedTower, Standard
from polyseek.core.maps import QueryMap
from polyseek.core.types import Manifest, Modality
from polyseek.store.lance import LanceStore

THERMAL = Modality.THERMAL


def adapter(name, value):
    row = np.full(3, value, np.float32)
    joins = JoinedTower(
        modality=THERMAL, tower="t", revision="", patterns=["*"],
        standard=Standard(mean=row, scale=row),
        map=QueryMap.linear(keep=0, mean=row, weights=np.full((3, 4), value)),
    )  # fmt: skip
    return Adapter(name=name, encoder="fake@1", joins=joins)


def served(shelf):
    return shelf.active().joined[THERMAL].map.weights[0, 0]


def test_a_version_with_the_name_of_a_removed_one_is_seen_elsewhere(tmp_path):
    manifest = Manifest(
        format_version=1, encoder="fake", revision="1", dim=4, tower_dims={}, checksums={}
    )
    store = LanceStore.create(str(tmp_path / "c"), manifest)
    own, elsewhere = (
        Shelf(store, Adapters()),
        Shelf(LanceStore.open(str(tmp_path / "c")), Adapters()),
    )

    def fit(value):
        with store.writing():
            name = own.free_name(str(THERMAL))
            own.put(adapter(name, value))
            own.use(name)
        return name

    first = fit(1)
    assert served(elsewhere) == 1
    with store.writing():
        own.remove(first)
    assert fit(2) == first
    assert served(own) == served(elsewhere) == 2
