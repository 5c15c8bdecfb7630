"""Collections in buckets: the writer's lease, what readers see and what it costs them."""

import json
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import obstore
import pytest

import polyseek
from polyseek.core.config import SearchOptions
from polyseek.core.errors import (
    CollectionBusyError,
    CollectionNotFoundError,
    ConfigError,
    StoreError,
)
from polyseek.core.filters import Words
from polyseek.core.hits import Query
from polyseek.core.objects import bucket_of, split_url
from polyseek.core.retriever import SearchMode
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Modality,
    Segment,
    SegmentBatch,
)
from polyseek.search.pipeline import search
from polyseek.store import lance_bucket, lance_copies, lance_index, lease
from polyseek.store.lance import LanceStore
from polyseek.store.lease import Lease
from polyseek.store.places import place_of
from polyseek.store.version import PolledVersions
from polyseek.testing import FakeEncoder
from polyseek.testing.store.samples import MANIFEST, batches, indexed, look, passages, put, row
from polyseek.testing.store.words import ask
from s3_fixtures import put as put_object

pytestmark = pytest.mark.s3


@pytest.fixture
def where(s3, bucket):
    put_object(f"{bucket}/there", b"")
    return f"{bucket}/c"


@pytest.fixture
def counted(proxy, bucket):
    """A collection behind a proxy that counts requests."""
    put_object(f"{bucket}/there", b"")
    store = LanceStore.create(f"{bucket}/c", MANIFEST)
    put(store, *passages("mem:/a", 0, 10), row("mem:/b", text="red car"))
    with store.writing():
        store.optimize()
    proxy.requests.clear()
    return f"{bucket}/c", proxy


def held_by(where, **holder):
    """Leave a lease behind, as another process would."""
    url, key = split_url(where)
    content = json.dumps({"token": "t", "pid": 1, "host": "elsewhere", "machine": "m", **holder})
    obstore.put(bucket_of(url), f"{key}/{lease.LEASE}", content.encode())


def test_a_second_writer_is_told_who_writes(where):
    store = LanceStore.create(where, MANIFEST)
    other = LanceStore.open(where)
    told = r"process \d+ on .*, seen \d+ s ago"
    with store.writing(), pytest.raises(CollectionBusyError, match=told), other.writing():
        pass
    with other.writing():
        pass


def test_the_lease_of_a_dead_process_of_this_machine_is_taken_at_once(where):
    store = LanceStore.create(where, MANIFEST)
    held_by(where, pid=2**22 + 1, machine=lease._machine())
    with store.writing():
        pass
    held_by(where, pid=1, machine=lease._machine())  # init is not dead
    with pytest.raises(CollectionBusyError), store.writing():
        pass


def test_a_lease_that_is_not_renewed_expires_by_the_clock_of_the_server(where, monkeypatch):
    store = LanceStore.create(where, MANIFEST)
    held_by(where)
    # Whatever clock this machine has: only times of the server are compared.
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with pytest.raises(CollectionBusyError, match="on elsewhere"), store.writing():
        pass
    monkeypatch.setattr(lease, "EXPIRES_S", 0.5)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with store.writing():
                return
        except CollectionBusyError:
            time.sleep(0.2)
    pytest.fail("it did not expire")


def test_the_lease_is_renewed_while_it_is_held(where, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    url, key = split_url(where)
    held = Lease(bucket_of(url), f"{key}/{lease.LEASE}", where)
    tags = set()
    with held.held():
        for _ in range(10):
            tags.add(obstore.head(bucket_of(url), f"{key}/{lease.LEASE}")["e_tag"])
            time.sleep(0.05)
        held.check()
    assert len(tags) > 2


def test_a_writer_that_was_suspended_for_too_long_writes_nothing_more(where, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_S", 0.1)
    store = LanceStore.create(where, MANIFEST)
    with store.writing():
        put_now(store, "mem:/a")
        held_by(where)  # somebody else took over
        time.sleep(0.5)
        with pytest.raises(StoreError, match="lost the right to write"):
            put_now(store, "mem:/b")
    assert [r.uri for r in LanceStore.open(where).records()] == ["mem:/a"]


def put_now(store, uri):
    rows = [row(uri)]
    store.upsert(indexed(rows), batches(rows))


def test_writers_that_do_not_know_of_each_other_double_and_lose_nothing(where, monkeypatch):
    """Order is the lease's business; correctness is not."""
    monkeypatch.setattr(Lease, "held", lambda self: nullcontext())
    monkeypatch.setattr(Lease, "check", lambda self: None)
    LanceStore.create(where, MANIFEST)
    one, two = LanceStore.open(where), LanceStore.open(where)
    with one.writing(), two.writing():
        for n in range(3):
            both = [*passages("mem:/both", 0, n + 1), row(f"mem:/{n}")]
            one.upsert(indexed(both), batches(both))
            two.upsert(indexed(both), batches(both))
            mine = [row(f"mem:/two-{n}")]
            two.upsert(indexed(mine), batches(mine))
    ids = [hit.id for hit in look(LanceStore.open(where), limit=100).hits]
    assert len(ids) == len(set(ids)) == 2 + 3 + 3
    uris = [record.uri for record in LanceStore.open(where).records()]
    assert len(uris) == len(set(uris)) == 1 + 3 + 3


def test_a_collection_without_primary_keys_gets_them(where, monkeypatch):
    from polyseek.store import layout

    with monkeypatch.context() as patch:
        patch.setattr(layout, "_PRIMARY_KEY", {})
        old = LanceStore.create(where, MANIFEST)
        with old.writing():
            put_now(old, "mem:/a")
    opened = LanceStore.open(where)
    with opened.writing():
        put_now(opened, "mem:/a")
    for _, table in opened._all_tables():
        column = "uri" if "uri" in table.schema.names else "id"
        assert table.schema.field(column).metadata


def test_a_reader_sees_what_another_writes_after_a_moment(where, monkeypatch):
    monkeypatch.setattr(lance_bucket, "REFRESH_S", 0.3)
    writer = LanceStore.create(where, MANIFEST)
    readers = [LanceStore.open(where, resident=resident) for resident in (False, True)]
    assert [look(reader).rows for reader in readers] == [0, 0]
    put(writer, row("mem:/a"))
    assert look(writer).rows == 1  # its own writes at once
    time.sleep(0.35)
    assert [look(reader).rows for reader in readers] == [1, 1]
    put(writer, row("mem:/b"))
    time.sleep(0.35)
    assert [look(reader).rows for reader in readers] == [2, 2]


def test_a_resident_reader_costs_no_requests_between_its_looks(counted, monkeypatch):
    where, proxy = counted
    monkeypatch.setattr(lance_bucket, "REFRESH_S", 60.0)
    reader = LanceStore.open(where, resident=True)
    look(reader)
    assert ask(reader, "red").hits[0].uri == "mem:/b"
    first = len(proxy.requests)
    assert first <= 26
    for _ in range(5):
        assert look(reader).rows == 3
        assert ask(reader, "red").hits[0].uri == "mem:/b"
        reader.counts()
    assert len(proxy.requests) <= first + 1  # the records are counted once
    reader.place.wrote()
    look(reader)
    assert len(proxy.requests) <= first + 3


def test_a_search_by_a_process_that_ends_takes_few_requests(counted):
    where, proxy = counted
    store = LanceStore.open(where)
    look(store)
    assert len(proxy.requests) <= 16
    assert ask(store, "red").hits[0].uri == "mem:/b"
    assert len(proxy.requests) <= 26
    store.place.wrote()
    looked = len(proxy.requests)
    assert [hit.uri for hit in look(store, limit=5).hits].count("mem:/b") == 1
    assert ask(store, "car").hits[0].uri == "mem:/b"
    assert len(proxy.requests) <= looked + 3


@pytest.fixture
def scattered(proxy, bucket):
    """30 pictures have the word, so far apart that the vector of each is a read of its own."""
    put_object(f"{bucket}/there", b"")
    dim, rng = 512, np.random.default_rng(0)
    store = LanceStore.create(f"{bucket}/c", replace(MANIFEST, dim=dim, tower_dims={}))
    segments = [
        Segment(
            asset_uri=f"mem:/{i}",
            modality=Modality.IMAGE,
            text="a ferry" if i % 100 == 0 else "a car",
        )
        for i in range(3000)
    ]
    rows = rng.standard_normal((3000, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    records = [
        AssetRecord(
            uri=s.asset_uri,
            status=AssetStatus.INDEXED,
            modalities=(Modality.IMAGE,),
            etag="1",
            size_bytes=1,
        )
        for s in segments
    ]
    batch = SegmentBatch(Modality.IMAGE, segments, Embeddings(shared=rows, tower=rows))
    with store.writing():
        store.upsert(records, [batch])
        store.optimize()
    proxy.requests.clear()
    return f"{bucket}/c", proxy, rows


def by_words(store, vector, **options):
    """A search by words alone."""
    query = Query(modality=Modality.TEXT, signals=["ferry"], label="ferry")
    known = Embeddings(shared=vector[None], tower=np.ones((1, 4), np.float32))
    options = SearchOptions(mode=SearchMode.TEXT, **options)
    return search(query, encoder=FakeEncoder(), store=store, options=options, embeddings=[known])


def test_a_search_by_words_alone_reads_the_vectors_of_what_it_shows(scattered):
    where, proxy, rows = scattered
    few = by_words(LanceStore.open(where), rows[7], limit=3)
    assert len(proxy.requests) <= 38
    assert [hit.score for hit in few] == pytest.approx(
        [float(rows[int(hit.uri[5:])] @ rows[7]) for hit in few], abs=1e-6
    )
    proxy.requests.clear()
    store = LanceStore.open(where)
    whole = by_words(store, rows[7], limit=30)
    assert len(whole) == 30
    assert len(proxy.requests) > 50  # what all that has the words would take
    assert [hit.id for hit in whole][:3] == [hit.id for hit in few]


def test_a_resident_reader_asks_for_no_single_vectors(scattered, monkeypatch):
    where, proxy, rows = scattered
    monkeypatch.setattr(lance_bucket, "REFRESH_S", 60.0)
    reader = LanceStore.open(where, resident=True)
    first = by_words(reader, rows[7], limit=3)
    proxy.requests.clear()
    assert by_words(reader, rows[7], limit=3).hits == first.hits
    assert by_words(reader, rows[8], limit=5).hits[0].score != first.hits[0].score
    assert proxy.requests == []


def test_a_process_that_ends_reads_all_rows_only_where_that_is_less(counted, monkeypatch):
    where, proxy = counted
    one = Words("red")
    store = LanceStore.open(where)
    assert look(store, where=one, limit=2).tier == "memory-exact"  # a few rows are one read
    monkeypatch.setattr(lance_copies, "READ_BYTES", 1)
    store = LanceStore.open(where)
    assert look(store, where=one, limit=2).tier == "lance-exact"
    assert look(store).tier == "memory-exact"
    proxy.requests.clear()
    assert [hit.uri for hit in look(store, where=one, limit=2).hits] == ["mem:/b"]
    assert proxy.requests == []
    monkeypatch.setattr(lance_index, "ANN_ROWS", 3)
    assert look(LanceStore.open(where)).tier == "lance-exact"


def test_versions_are_asked_for_now_and_then():
    class Table:
        name, asked = "t", 0

        @property
        def version(self):
            self.asked += 1
            return self.asked

    table, versions = Table(), PolledVersions(0.05)
    assert [versions.of(table) for _ in range(3)] == [1, 1, 1]
    time.sleep(0.06)
    assert versions.of(table) == 2
    versions.forget()
    assert versions.of(table) == 3


def test_places_that_hold_no_collection(s3, bucket):
    with pytest.raises(StoreError, match="no such bucket"):
        LanceStore.open(f"{bucket}/c")
    put_object(f"{bucket}/c/assets.lance/_transactions/0.txn", b"x")  # its making was killed
    with pytest.raises(CollectionNotFoundError, match="no collection here"):
        LanceStore.open(f"{bucket}/c")
    LanceStore.create(f"{bucket}/c", MANIFEST)
    assert look(LanceStore.open(f"{bucket}/c")).rows == 0
    with pytest.raises(StoreError, match="cannot be made here"):
        LanceStore.create(f"{bucket}/c", MANIFEST)
    with pytest.raises(ConfigError, match="a folder or a bucket"):
        place_of("https://example.org/c")
    for location, told in (("s3://", "names no bucket"), (Path("s3://b/c"), "two slashes")):
        with pytest.raises(ConfigError, match=told):
            polyseek.open(location)


def test_wrong_credentials_are_one_line(where, monkeypatch):
    LanceStore.create(where, MANIFEST)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    bucket_of.cache_clear()
    with pytest.raises(StoreError, match="credentials were refused") as caught:
        LanceStore.open(where)
    assert "wrong-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
