from polyseek.store.lance import LanceStore
from polyseek.store.memory import MemoryStore
from polyseek.testing.store import StoreConformance


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
