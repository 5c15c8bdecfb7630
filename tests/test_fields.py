"""What filters may name."""

from polyseek.api.fields import describe
from polyseek.core.filters import FieldType
from polyseek.core.types import Modality
from polyseek.store.memory import MemoryStore
from polyseek.testing.store.samples import IMAGE, MANIFEST, put, row


def test_fields_have_their_type_count_and_examples():
    store = MemoryStore.create("memory", MANIFEST)
    put(
        store,
        *(
            row(f"mem:/{i}", metadata={"year": 2020 + i % 2, "tags": ["a", str(i)]})
            for i in range(8)
        ),
        row("mem:/x", modality=IMAGE, metadata={"year": 1999}),
        row("mem:/y", modality=IMAGE),
    )
    tags, year = describe(store)
    assert (tags.name, tags.type, tags.segments) == ("tags", FieldType.LIST, 8)
    assert len(tags.examples) == 3
    assert (year.name, year.type, year.segments) == ("year", FieldType.INTEGER, 9)
    assert sorted(year.examples) == [1999, 2020, 2021]
    assert year.to_dict()["type"] == "integer"
    assert Modality.AUDIO not in store.counts()
