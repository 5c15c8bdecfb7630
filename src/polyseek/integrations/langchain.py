"""A collection as a LangChain retriever. Needs ``langchain-core``.

>>> from polyseek.integrations.langchain import PolyseekRetriever
>>> retriever = PolyseekRetriever(collection=polyseek.open("photos.polyseek"), k=5)
>>> retriever.invoke("sunset over the ocean")
"""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from polyseek.integrations.passages import passages


class PolyseekRetriever(BaseRetriever):
    """Finds documents in a local or a remote collection.

    Attributes:
        collection: What `polyseek.open` or `polyseek.connect` gives.
        k: Number of documents.
        options: Further arguments of `Collection.search`, e.g. ``{"modalities": ["text"]}``.
    """

    collection: Any
    k: int = 10
    options: dict[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain passes it
    ) -> list[Document]:
        found = passages(self.collection, query, limit=self.k, options=self.options)
        return [Document(id=p.id, page_content=p.text, metadata=dict(p.metadata)) for p in found]
