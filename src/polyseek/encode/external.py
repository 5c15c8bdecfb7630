"""Vectors that were made elsewhere: no towers, or another encoder's for the queries alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from polyseek.core.errors import DimensionError, EncoderError
from polyseek.core.protocols import Encoder
from polyseek.core.types import Embeddings, EncoderInfo, Modality, Prepared, Role

NAME = "external"


class ExternalEncoder:
    """See `polyseek.core.protocols.Encoder`. Its shared space is the only one.

    Args:
        dim: Length of the collection's vectors.
        query: Reads queries; None where they come as vectors, too.

    Raises:
        DimensionError: The query encoder's vectors have another length.
    """

    def __init__(self, dim: int, query: Encoder | None = None) -> None:
        if query is not None and query.info.dim != dim:
            raise DimensionError(
                f"query encoder '{query.info.name}' makes vectors of {query.info.dim} numbers, the "
                f"collection's have {dim}; attach the encoder that made them"
            )
        self._query = query
        towers = {} if query is None else {
            modality: replace(tower, dim=dim) for modality, tower in query.info.towers.items()
        }  # fmt: skip
        self.info = EncoderInfo(name=NAME, revision="1", dim=dim, towers=towers)

    def encode(self, modality: Modality, batch: Sequence[Prepared], *, role: Role) -> Embeddings:
        """See `polyseek.core.protocols.Encoder`."""
        if self._query is None or modality not in self.info.towers:
            raise EncoderError(
                f"the collection's vectors were made elsewhere, so {modality} cannot be embedded; "
                "search with a vector, or attach the encoder that made them (--query-encoder)"
            )
        shared = self._query.encode(modality, batch, role=role).shared
        return Embeddings(shared=shared, tower=shared)
