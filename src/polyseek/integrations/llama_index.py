"""A collection as a LlamaIndex retriever. Needs ``llama-index-core``.

>>> from polyseek.integrations.llama_index import PolyseekRetriever
>>> retriever = PolyseekRetriever(polyseek.open("photos.polyseek"), similarity_top_k=5)
>>> retriever.retrieve("sunset over the ocean")
"""

from __future__ import annotations

from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from polyseek.integrations.passages import passages


class PolyseekRetriever(BaseRetriever):
    """Finds nodes in a local or a remote collection.

    Args:
        collection: What `polyseek.open` or `polyseek.connect` gives.
        similarity_top_k: Number of nodes.
        options: Further arguments of `Collection.search`, e.g. ``modalities=["text"]``.
    """

    def __init__(self, collection: Any, *, similarity_top_k: int = 10, **options: Any) -> None:
        super().__init__()
        self._collection, self._limit, self._options = collection, similarity_top_k, options

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = passages(
            self._collection, query_bundle.query_str, limit=self._limit, options=self._options
        )
        return [
            NodeWithScore(
                node=TextNode(id_=p.id, text=p.text, metadata=dict(p.metadata)), score=p.score
            )
            for p in found
        ]
