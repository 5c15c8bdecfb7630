"""What every store must do: inherit `StoreConformance` and say how to make a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from polyseek.core.protocols import Store
from polyseek.core.types import Manifest
from polyseek.testing.store.metadata import MetadataChecks
from polyseek.testing.store.samples import MANIFEST
from polyseek.testing.store.searching import SearchChecks
from polyseek.testing.store.sparse import SparseChecks
from polyseek.testing.store.tuning import TuningChecks
from polyseek.testing.store.words import WordChecks
from polyseek.testing.store.writing import WriteChecks

__all__ = ["StoreConformance"]


class StoreCase(ABC):
    """How the checks get their stores."""

    @abstractmethod
    def make_store(self, tmp_path: Path, manifest: Manifest) -> Store:
        """An empty store for this manifest; called once per test."""

    def second_handle(self, store: Store) -> Store | None:  # noqa: ARG002 - for subclasses
        """The same collection opened anew, as another process would; None if it cannot be."""
        return None

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """An empty store."""
        return self.make_store(tmp_path, MANIFEST)

    @pytest.fixture
    def second(self, store: Store) -> Store:
        """A second handle on `store`, opened while it was empty."""
        handle = self.second_handle(store)
        if handle is None:
            pytest.skip("second_handle() gives None: this store cannot be opened a second time")
        return handle


class StoreConformance(
    SearchChecks, WordChecks, SparseChecks, MetadataChecks, WriteChecks, TuningChecks, StoreCase
):
    """Checks of `polyseek.core.protocols.Store`; name the subclass ``Test...``."""
