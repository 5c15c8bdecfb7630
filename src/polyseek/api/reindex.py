"""Another encoder for a collection: a shadow index beside it, compared, then switched to.

The shadow is a whole collection in ``generations/NAME``, made by the one ingest road from the same
sources with the same options, so it goes on where it was killed. Which index answers is one row in
a table: switching, and going back, is one commit. Nothing of the old one is touched.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from polyseek.api import versions
from polyseek.core.config import IndexOptions
from polyseek.core.errors import CollectionNotFoundError, ConfigError, StoreError
from polyseek.core.hits import Query
from polyseek.core.objects import folders_in, scheme_of
from polyseek.core.protocols import Store, SwitchingStore, VersionedStore
from polyseek.core.reports import Failure, IngestReport, ProgressCallback
from polyseek.core.types import AssetRecord, AssetStatus, Manifest, Modality

if TYPE_CHECKING:
    from polyseek.api.collection import Collection
    from polyseek.evaluate.shadow import Comparison

SAMPLE = 50
"""Queries of each kind that the two indexes are asked."""

_SEARCHABLE = (AssetStatus.INDEXED, AssetStatus.PARTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReindexReport:
    """What a shadow index holds, and what it would change.

    Attributes:
        encoder: Its encoder.
        ingest: What this run did.
        assets: Assets that can be searched in it.
        lost: Assets that only the old index can search, with the reason.
        changed: Assets that have changed since; the next `index` after the switch reads them.
        comparison: The two asked the same; None while the shadow is not whole.
        switched: Whether it answers now.
    """

    encoder: str
    ingest: IngestReport
    assets: int
    lost: Sequence[Failure]
    changed: int
    comparison: Comparison | None
    switched: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


def what_was_indexed(
    sources: Sequence[str | Path], options: Mapping[str, Any], report: IngestReport
) -> dict[str, Any]:
    """An index run as its version tells it; enough to do it again with another encoder."""
    counts = ("added", "updated", "moved", "deleted")
    given = {name: _plain(value) for name, value in options.items() if value}
    names = [_absolute(source) for source in sources]
    return {
        "sources": names,
        **{name: n for name in counts if (n := getattr(report, name))},
        versions.MADE_OF: dict.fromkeys(names, given),
    }


def build(
    collection: Collection,
    encoder: str,
    *,
    sources: Sequence[str | Path] = (),
    pairs: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[ReindexReport, Collection]:
    """Make or finish the shadow index of an encoder, and compare it with what answers now.

    Raises:
        ConfigError: The collection has that encoder, or nobody knows what it was made of.
        SourceError: A source is gone.
    """
    asked = read_pairs(pairs, collection) if pairs is not None else []
    old = collection.store
    shadow = open_shadow(collection, encoder)
    made_of = _sources(old, sources, location=collection.location)
    records = {record.uri: record for record in old.records()}
    report = _fill(shadow, made_of, old, records, progress)
    now = {record.uri: record for record in shadow.store.records()}
    lost, changed = _missing(records, now, collection.adapters.joined)
    comparison = None
    if not report.interrupted:
        _carry(old, shadow.store)
        if old.tuning is not None and shadow.store.tuning is None and shadow.text_tower:
            shadow.tune_with(old.tuning.bank, progress=progress)
        comparison = _compared(collection, shadow, asked)
    return ReindexReport(
        encoder=f"{shadow.manifest.encoder}@{shadow.manifest.revision}",
        ingest=report,
        assets=sum(record.status in _SEARCHABLE for record in now.values()),
        lost=lost,
        changed=changed,
        comparison=comparison,
    ), shadow


def open_shadow(collection: Collection, encoder: str) -> Collection:
    """The shadow collection of an encoder, made when there is none."""
    from polyseek.api.opening import generation_at, load_encoder, manifest_of, open_or_create

    old, settings = collection.manifest, collection.settings
    made = manifest_of(load_encoder(encoder, settings).info)
    if (made.encoder, made.revision, made.checksums) == (old.encoder, old.revision, old.checksums):
        raise ConfigError(
            f"{collection.location}: encoder '{encoder}' is the one that answers already"
        )
    where = generation_at(collection.location, generation_name(made))
    resident = False
    return open_or_create(
        where, replace(made, sparse=old.sparse), settings=settings, resident=resident
    )


def generation_name(manifest: Manifest) -> str:
    """Of the index that an encoder makes; safe in paths."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", f"{manifest.encoder}-{manifest.revision}")[:80]


def switch(location: str, name: str) -> str:
    """Let another generation answer, in one commit; the name of the one that did."""
    own = _own(location)
    with own.writing():
        history: list[str] = list(own.generations())
        own.serve([*(h for h in history if h != name), name])
    return history[-1]


def undo(location: str) -> str:
    """Let the generation answer that did before; its name.

    Raises:
        ConfigError: There is none.
    """
    own = _own(location)
    with own.writing():
        history: list[str] = list(own.generations())
        if len(history) < 2:
            raise ConfigError(f"{location}: was never switched, or its old index is dropped")
        before = history[-2]
        own.serve([history[-1], *history[:-2], before])
    return before


def drop(location: str) -> list[str]:
    """Remove every generation but the one that answers, for good; their names."""
    from polyseek.api.opening import generation_at
    from polyseek.core import plugins

    own = _own(location)
    with own.writing():
        history: list[str] = list(own.generations())
        serving = history[-1]
        own.serve([serving])
        if serving:
            own.clear()
    backend, dropped = plugins.load("store", "lance"), [""] if serving else []
    for name in _others(location, serving, history):
        with suppress(CollectionNotFoundError):  # dropped before, but for what is no table
            other = backend.open(generation_at(location, name))
            with other.writing():
                other.remove()
            dropped.append(name)
    return dropped


def read_pairs(path: str | Path, collection: Collection) -> list[tuple[Query, str]]:
    """Queries with the asset each should find: a CSV or JSONL with ``query`` and ``path``.

    Raises:
        ConfigError: It cannot be read, or none of its paths is in the collection.
    """
    from polyseek.api.composing import read

    known = [record.uri for record in collection.store.records()]
    found, rows = [], _rows(Path(path))
    for row in rows:
        if not {"query", "path"} <= row.keys():
            raise ConfigError(f"--pairs {path}: expected the columns 'query' and 'path'")
        uri = _uri_of_path(str(row["path"]), known)
        query = read(str(row["query"]), offline=collection.settings.offline)
        if uri is not None and isinstance(query, Query):
            found.append((query, uri))
    if not found:
        raise ConfigError(f"--pairs {path}: none of its {len(rows):,} paths is in the collection")
    return found


def _own(location: str) -> Any:
    from polyseek.core import plugins

    own = plugins.load("store", "lance").open(location)
    if not isinstance(own, SwitchingStore):
        raise StoreError(f"{location}: its store has one index only")
    return own


def _others(location: str, serving: str, history: Sequence[str]) -> list[str]:
    """Generations that do not answer: those that did, and those that were only built."""
    below = f"{location}/generations"
    if scheme_of(location):
        lying = set(folders_in(below))
    else:
        lying = {path.name for path in Path(below).iterdir()} if Path(below).is_dir() else set()
    return sorted({*history, *lying} - {serving, ""})


def _sources(
    old: Store, given: Sequence[str | Path], *, location: str
) -> dict[str, Mapping[str, Any]]:
    """What the collection is made of: options by source."""
    kept = old.versions() if isinstance(old, VersionedStore) else ()
    known = versions.made_of(kept)
    if given:
        return {name: known.get(name, {}) for name in map(_absolute, given)}
    if not known:
        raise ConfigError(
            f"{location}: which sources is it made of? An older polyseek did not note them; name "
            "them: polyseek reindex SOURCE... --encoder NAME"
        )
    return known


def _fill(
    shadow: Collection,
    made_of: Mapping[str, Mapping[str, Any]],
    old: Store,
    records: Mapping[str, AssetRecord],
    progress: ProgressCallback | None,
) -> IngestReport:
    """Ingest the sources as they were ingested before, texts that were recognised included."""
    from polyseek.ingest.marks import habits
    from polyseek.ingest.reuse import Known, Reuse
    from polyseek.ingest.several import given, merged

    marks = habits(records.values())
    reuse = Reuse(
        marks=marks,
        segments=lambda uri: [s for batch in old.fetch([uri]) for s in batch.segments],
        prepare=shadow.text_tower,
    )
    together: dict[str, list[str]] = defaultdict(list)
    for name, options in made_of.items():
        together[json.dumps(options, sort_keys=True)].append(name)
    total = IngestReport()
    for shared, names in together.items():
        chosen = given(names, _options(json.loads(shared)))
        only = [Known(source=each, records=records, marks=marks) for each in chosen.sources]
        chosen = replace(chosen, sources=only, warning=None)
        total = merged(total, shadow.ingest(chosen, progress=progress, reuse=reuse))
        if total.interrupted:
            break
    return total


def _carry(old: Store, shadow: Store) -> None:
    """Take over what the owner wrote; what was fitted to the old embeddings stays with them."""
    from polyseek.api.adapting import SHELF
    from polyseek.api.evaluations import carry
    from polyseek.core.fusion import NOTE as FUSION

    written = {name: text for name, text in old.notes.items() if name not in (SHELF, FUSION)}
    with shadow.writing():
        for name, text in written.items():
            shadow.save_note(name, text)
        carry(old, shadow)


def _missing(
    records: Mapping[str, AssetRecord],
    now: Mapping[str, AssetRecord],
    joined: Mapping[Modality, str],
) -> tuple[list[Failure], int]:
    """Assets that the new index cannot search, and how many have changed since.

    Args:
        records: Of the old index, by uri.
        now: Of the new one.
        joined: Adapters by the modality that they join to the old encoder.
    """
    from polyseek.ingest.sources.files import local_path

    lost, changed = [], 0
    for uri, record in records.items():
        new = now.get(uri)
        left = [m for m in record.modalities if m in joined and not (new and m in new.modalities)]
        if left:
            reason = (
                f"{left[0]} was joined to the old encoder by '{joined[left[0]]}'; after the switch "
                "join it to this one: polyseek adapt --tower"
            )
            lost.append(Failure(uri=uri, status=AssetStatus.UNSUPPORTED, reason=reason))
            continue
        if record.status not in _SEARCHABLE or (new and new.status in _SEARCHABLE):
            continue
        if new is not None:
            lost.append(Failure(uri=uri, status=new.status, reason=new.reason or "not finished"))
        elif uri.startswith("file:") and not local_path(uri).exists():
            lost.append(Failure(uri=uri, status=record.status, reason="is no longer there"))
        else:
            changed += 1
    return lost, changed


def _compared(old: Collection, new: Collection, pairs: Sequence[tuple[Query, str]]) -> Comparison:
    from polyseek.evaluate.shadow import compare

    def answer(collection: Collection) -> Any:
        return lambda query: collection.search(query, limit=10, show_all=True).hits

    return compare(list(_queries(old, new)), answer(old), answer(new), pairs=pairs)


def _queries(old: Collection, new: Collection) -> Iterator[Query]:
    """Generic or the collection's own text queries, and files of the collection itself."""
    from polyseek.api.composing import read_file
    from polyseek.learn.bank import generic_queries

    both = old.reads & new.reads
    if Modality.TEXT in both:
        tuning = old.store.tuning
        bank = (tuning.bank if tuning else ()) or generic_queries()
        for text in bank[:: max(1, len(bank) // SAMPLE)][:SAMPLE]:
            yield Query(modality=Modality.TEXT, signals=[text], label=text)
    for modality in sorted(both - {Modality.TEXT}):
        sample = old.store.sample(modality, SAMPLE)
        uris = {segment.asset_uri for segment in sample.segments} if sample else ()
        for uri in sorted(uris):
            query = read_file(uri, old.encoder)
            if query is not None:
                yield query


def _options(given: Mapping[str, Any]) -> IndexOptions:
    table = given.get("metadata")
    # What was recognised is taken over, so nothing is recognised again.
    left = {k: v for k, v in given.items() if k not in ("metadata", "ocr", "asr")}
    return IndexOptions(**left, metadata=Path(table) if table else None, ocr=False, asr=False)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return list(csv.DictReader(text.splitlines()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--pairs {path}: cannot be read: {error}") from error


def _uri_of_path(path: str, known: Sequence[str]) -> str | None:
    """The asset whose uri this is, or ends like."""
    end = "/" + quote(path.strip("/"))
    return next((uri for uri in known if uri == path or uri.endswith(end)), None)


def _absolute(source: str | Path) -> str:
    """A source that is found from any working folder."""
    text = str(source)
    return text if "://" in text else str(Path(text).expanduser().absolute())


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return _absolute(value)
    return list(value) if isinstance(value, tuple) else value
