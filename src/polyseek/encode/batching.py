"""Queries of several threads, embedded together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

from polyseek.core.protocols import Encoder, PatchEncoder, SoundPatchEncoder
from polyseek.core.types import (
    Embeddings,
    EncoderInfo,
    Modality,
    Prepared,
    Role,
)
from polyseek.encode.passing import PassesPatches, PassesSoundPatches, able_as

REMEMBERED_TEXTS = 1024


class BatchingEncoder:
    """An encoder of which many threads ask single queries.

    One thread per modality does the encoding: while it is busy requests gather, and it takes all
    that have come, so batches grow with the load and nobody ever waits for company. Texts that
    were asked before are remembered.

    Args:
        encoder: Does the work; one call at a time per modality.
        batched: Called with the size of every batch.
        looked_up: Called with whether a text was remembered.
        remembered: Texts whose embeddings are kept.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        batched: Callable[[int], object] = lambda _: None,
        looked_up: Callable[[bool], object] = lambda _: None,
        remembered: int = REMEMBERED_TEXTS,
    ) -> None:
        self.plain = encoder
        self._batched, self._looked_up = batched, looked_up
        self._lock = threading.Lock()
        self._queues: dict[Modality, SimpleQueue[_Request | None]] = {}
        self._memory: OrderedDict[str, Embeddings] = OrderedDict()
        self._remembered = remembered

    @property
    def info(self) -> EncoderInfo:
        """See `polyseek.core.protocols.Encoder`."""
        return self.plain.info

    def encode(self, modality: Modality, batch: Sequence[Prepared], *, role: Role) -> Embeddings:
        """See `polyseek.core.protocols.Encoder`; documents go straight through."""
        if role is not Role.QUERY or not batch:
            return self.plain.encode(modality, batch, role=role)
        parts = [self._one(modality, signal) for signal in batch]
        rows = [part if isinstance(part, Embeddings) else part.result() for part in parts]
        if len(rows) == 1:
            return rows[0]
        return Embeddings.concat(rows)

    def close(self) -> None:
        """End the threads, after what they have in hand."""
        with self._lock:
            for queue in self._queues.values():
                queue.put(None)
            self._queues.clear()

    def _one(self, modality: Modality, signal: Prepared) -> Embeddings | Future[Embeddings]:
        request = _Request(signal)
        with self._lock:
            if isinstance(signal, str):
                found = self._memory.get(signal)
                self._looked_up(found is not None)
                if found is not None:
                    self._memory.move_to_end(signal)
                    return found
            queue = self._queues.get(modality)
            if queue is None:
                queue = self._queues[modality] = SimpleQueue()
                threading.Thread(
                    target=self._serve,
                    args=(modality, queue),
                    daemon=True,
                    name=f"encode-{modality}",
                ).start()
            queue.put(request)
        return request.answer

    def _serve(self, modality: Modality, queue: SimpleQueue[_Request | None]) -> None:
        most = self.plain.info.towers[modality].batch_size if self._known(modality) else 1
        while (first := queue.get()) is not None:
            together = [first]
            while len(together) < most and not queue.empty():
                another = queue.get()
                if another is None:
                    queue.put(None)
                    break
                together.append(another)
            self._answer(modality, together)

    def _known(self, modality: Modality) -> bool:
        return modality in self.plain.info.towers

    def _answer(self, modality: Modality, together: Sequence[_Request]) -> None:
        self._batched(len(together))
        try:
            rows = self.plain.encode(modality, [r.signal for r in together], role=Role.QUERY)
        except Exception as error:  # noqa: BLE001 - the one whose fault it is raises it
            if len(together) == 1:
                together[0].answer.set_exception(error)
                return
            for request in together:
                self._answer(modality, [request])
            return
        for i, request in enumerate(together):
            found = Embeddings(shared=rows.shared[i : i + 1], tower=rows.tower[i : i + 1])
            if isinstance(request.signal, str):
                self._remember(request.signal, found)
            request.answer.set_result(found)

    def _remember(self, text: str, found: Embeddings) -> None:
        with self._lock:
            self._memory[text] = found
            while len(self._memory) > self._remembered:
                self._memory.popitem(last=False)


class _Sees(PassesPatches, BatchingEncoder):
    plain: PatchEncoder


class _Hears(PassesSoundPatches, BatchingEncoder):
    plain: SoundPatchEncoder


def batching(
    encoder: Encoder,
    *,
    batched: Callable[[int], object] = lambda _: None,
    looked_up: Callable[[bool], object] = lambda _: None,
) -> BatchingEncoder:
    """See `BatchingEncoder`; it can what the encoder can."""
    made = able_as(encoder, BatchingEncoder, _Sees, _Hears)
    return made(encoder, batched=batched, looked_up=looked_up)


class _Request:
    """One signal, and where its embedding will be."""

    __slots__ = ("answer", "signal")

    def __init__(self, signal: Prepared) -> None:
        self.signal = signal
        self.answer: Future[Embeddings] = Future()
