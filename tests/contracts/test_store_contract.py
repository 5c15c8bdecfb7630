import pytest

from polyseek.store import lance_bucket
from polyseek.store.lance import LanceStore
from polyseek.store.memory import MemoryStore
from polyseek.testing.store import StoreCase, StoreConformance
from polyseek.testing.store.sparse import SparseChecks
from polyseek.testing.store.words import WordChecks
from polyseek.testing.store.writing import WriteChecks
from s3_fixtures import put as put_object


class TestMemoryStore(StoreConformance):
    def make_store(self, tmp_path, manifest):
        return MemoryStore.create(str(tmp_path), manifest)


class LanceConformance(StoreConformance):
    resident: bool

    def make_store(self, tmp_path, manifest):
        location = str(tmp_path / "collection")
        return LanceStore.create(location, manifest, resident=self.resident)

    def second_handle(self, store):
        return LanceStore.open(store.location, resident=self.resident)


class TestLanceStoreOnDisk(LanceConformance):
    resident = False


class TestLanceStoreInMemory(LanceConformance):
    resident = True


class InBucket(StoreCase):
    """Some of the checks: the code of the others does not know where the tables are."""

    resident: bool

    @pytest.fixture(autouse=True)
    def _server(self, s3, bucket, monkeypatch):
        monkeypatch.setattr(lance_bucket, "REFRESH_S", 0.0)
        self.bucket = bucket
        put_object(f"{bucket}/exists", b"")

    def make_store(self, tmp_path, manifest):
        return LanceStore.create(f"{self.bucket}/a b/c", manifest, resident=self.resident)

    def second_handle(self, store):
        return LanceStore.open(store.location, resident=self.resident)


@pytest.mark.s3
class TestWritingInBucket(WriteChecks, InBucket):
    resident = False


@pytest.mark.s3
class TestSearchingInBucketResident(WordChecks, SparseChecks, InBucket):
    resident = True
