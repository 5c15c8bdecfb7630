"""What a Lance store reads as a whole: copies of segments in memory, small indexes of words.

A long-lived process always searches copies. A process that asks once asks Lance; but where every
read is a request, reading a table as a whole takes fewer than picking rows from it, and where Lance
would have to look at all vectors anyway, no more bytes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from polyseek.core.types import Modality
from polyseek.store import lance_index, lance_text
from polyseek.store.resident import Resident

if TYPE_CHECKING:
    from polyseek.store.lance import LanceStore

READ_BYTES = 64 * 1024
"""What Lance reads of object storage at least, for a row that stands by itself."""


class Copies:
    """Copies of one store's segment tables, each made anew when its table has a new version.

    Args:
        store: Whose tables.
        resident: Whether they always answer.
    """

    def __init__(self, store: LanceStore, *, resident: bool) -> None:
        self.resident = resident
        self._store = store
        self._copying = threading.Lock()
        self._copies: dict[Modality, Resident] = {}
        self._fetched: dict[Modality, int] = {}

    def of(self, table: Any, modality: Modality, *, few: int | None) -> Resident | None:
        """The copy that answers instead of Lance; None where it would not pay.

        Args:
            table: A segments table.
            modality: Of its segments.
            few: How many rows' vectors Lance would read; None for those of all rows.
        """
        return self._copy_of(table, modality) if self._pays(table, modality, few) else None

    def fetch_words(self, table: Any, modality: Modality) -> None:
        """Where every read is a request, read a small index of words as a whole."""
        if not self._store.place.distant:
            return
        version = self._store._version_of(table)
        if self._fetched.get(modality) != version:
            lance_text.fetch(table)
            self._fetched[modality] = version

    def _pays(self, table: Any, modality: Modality, few: int | None) -> bool:
        if self.resident or not self._store.place.distant:
            return self.resident
        if modality in self._copies:
            return True
        rows, row_bytes = table.count_rows(), 4 * self._store.manifest.dim
        if rows >= lance_index.ANN_ROWS:
            return False
        return few is None or rows * row_bytes <= few * READ_BYTES

    def _copy_of(self, table: Any, modality: Modality) -> Resident:
        version = self._store._version_of(table)
        copy = self._copies.get(modality)
        if copy is not None and copy.version == version:
            return copy
        with self._copying:  # of searches that come at once one makes the copy
            copy = self._copies.get(modality)
            if copy is None or copy.version != version:
                frozen = self._store._database.open_table(table.name)
                frozen.checkout(version)
                copy = self._copies[modality] = Resident(frozen, modality, version)
            return copy
