"""Terms of a request -> queries. Nothing here opens a path that a client names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polyseek import api
from polyseek.core.errors import QueryError
from polyseek.core.hits import Query
from polyseek.core.types import Embeddings, Floats, asset_id
from polyseek.server import schemas
from polyseek.server.problems import ProblemError
from polyseek.server.uploads import Upload, Uploads


class TermReader:
    """Reads the terms of one request for one collection. Blocks: call it in a thread.

    Args:
        collection: What is searched.
        uploads: Decodes what clients send.
        files: Uploaded files by the name of their part.
        allow_urls: Whether public URLs may be fetched.
    """

    def __init__(
        self,
        collection: api.Collection,
        uploads: Uploads,
        *,
        files: Mapping[str, Upload],
        allow_urls: bool,
    ) -> None:
        self._collection, self._uploads = collection, uploads
        self._files, self._allow_urls = files, allow_urls

    def read(self, request: schemas.SearchRequest) -> api.ComposedQuery | Query | None:
        """The query of a request; files that no term names are wanted, too.

        None where there is nothing but a filter or modalities: what passes is listed.

        Raises:
            QueryError: There is nothing at all, or a term cannot be read.
            AssetError: A file cannot be decoded.
        """
        named = {term.file for term in request.terms if isinstance(term, schemas.FileTerm)}
        rest = [schemas.FileTerm(file=name) for name in self._files if name not in named]
        terms = [*request.terms, *rest]
        if not terms and (request.filter or request.modalities):
            return None
        if not terms:
            raise QueryError("there is nothing to look for; give a term, a file or a filter")
        read = [(self._one(term), term.weight) for term in terms]
        if len(read) == 1 and read[0][1] == 1:
            return read[0][0]
        return api.ComposedQuery(terms=read, any=request.any)

    def _one(self, term: schemas.SearchTerm) -> Query:
        match term:
            case schemas.TextTerm():
                return self._uploads.text(term.text)
            case schemas.AssetTerm():
                return self._collection.assets.query(term.asset, term.segment)
            case schemas.UriTerm():
                return self._uri(term.uri)
            case schemas.DataTerm():
                return self._uploads.data(self._collection.encoder, term.data, name=term.name)
            case schemas.FileTerm():
                return self._file(term.file)
            case schemas.VectorTerm():
                return _vector(term, self._collection)

    def _uri(self, uri: str) -> Query:
        if not uri.startswith(("http://", "https://")):
            return self._collection.assets.query(asset_id(uri))
        if not self._allow_urls:
            raise ProblemError(
                403, "urls-not-allowed", "this server fetches no URLs; send the file instead"
            )
        return self._uploads.url(self._collection.encoder, uri)

    def _file(self, name: str) -> Query:
        upload = self._files.get(name)
        if upload is None:
            raise QueryError(f"a term names the file '{name}', which was not sent")
        return self._uploads.file(self._collection.encoder, upload.path, name=upload.name)


def _vector(term: schemas.VectorTerm, collection: api.Collection) -> Query:
    info = collection.encoder
    tower = info.towers.get(term.modality)
    if tower is None:
        raise QueryError(f"the encoder has no {term.modality} tower")
    shared = _unit(term.vector, info.dim, "vector")
    unknown: Floats = np.empty((1, 0), np.float32)
    own = unknown if term.tower is None else _unit(term.tower, tower.dim, "tower")
    return Query(
        modality=term.modality,
        signals=(),
        label=f"{term.modality} vector",
        embeddings=Embeddings(shared=shared, tower=own),
    )


def _unit(values: list[float], dim: int, name: str) -> Floats:
    """``(1, dim)`` unit length."""
    row = np.asarray([values], np.float32)
    if row.shape[1] != dim:
        raise QueryError(f"{name} has {row.shape[1]} numbers; this collection's have {dim}")
    length = float(np.linalg.norm(row))
    if not 1e-6 < length < 1e6:
        raise QueryError(f"{name} has length {length:g}; expected about 1")
    unit: Floats = row / np.float32(length)
    return unit
