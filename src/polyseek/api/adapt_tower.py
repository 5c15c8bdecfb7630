"""Join a modality to a collection's space: any function from a file to a vector, and pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np

from polyseek.api.adapt import Adapting, AdaptReport, Trial
from polyseek.api.towers import require_same
from polyseek.core.adapting import Adapter
from polyseek.core.artifacts import reporting
from polyseek.core.errors import ConfigError
from polyseek.core.hits import Item
from polyseek.core.inventory import Inventory
from polyseek.core.joined import JoinedTower, Standard
from polyseek.core.pairs import LabelledQuery, joined, read_pairs
from polyseek.core.types import AssetStatus, Embeddings, Floats, Modality
from polyseek.encode.files import TowerReader, absolute, patterns, revision
from polyseek.ingest.paired import vectors_of
from polyseek.ingest.sources.locate import uri_of
from polyseek.learn.adapters.joining import join
from polyseek.learn.adapters.pairs import MIN_GROUPS, Linked, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `polyseek adapt --tower` is asked for.

    Attributes:
        tower: Name of the function, see `encode.files`.
        modality: What it embeds.
    """

    tower: str
    modality: Modality

    def reader(self, serving: JoinedTower | None) -> TowerReader:
        """What reads its files.

        Args:
            serving: What joins the modality now; its vectors and those to come are of one length.

        Raises:
            ConfigError: It cannot be imported, or does not say which files are its own.
        """
        name = absolute(self.tower)
        return TowerReader(
            modality=self.modality,
            tower=name,
            patterns=patterns(name),
            revision=revision(name),
            dim=len(serving.standard.mean) if serving else 0,
        )


class TowerAdapting(Adapting):
    """One run of `polyseek adapt --tower`."""

    def join(
        self,
        request: Request,
        pairs: str | Path,
        *,
        queries: str | Path | None = None,
        force: bool = False,
        install: bool = True,
    ) -> AdaptReport:
        """Fit and judge a map of the tower's vectors; install it when it is better than chance.

        Args:
            request: What is joined.
            pairs: A file or folder as `core.pairs.read_pairs` reads it. One of a pair is a file
                that the tower reads, anywhere; the other is a text, or an asset of the collection.
            queries: What ids in it stand for.
            force: Install what is no better, too.
            install: Whether to install anything.

        Raises:
            ConfigError: The tower or the pairs cannot be used.
        """
        serving = self.shelf.active().joined.get(request.modality)
        reader = request.reader(serving)
        self._require_free(request, reader, serving)
        with reporting(self.progress), self.store.writing():
            inventory = Inventory.of(self.store)
            where = Path(pairs).expanduser()
            read = read_pairs(where, queries=queries)
            self.notes.extend(read.notes)
            beside = where if where.is_dir() else where.parent
            links = list(self._links(joined(read.queries), reader, inventory, beside))
            vectors = self._vectors([uri for uri, _ in links], reader)
            links = [(uri, other) for uri, other in links if uri in vectors]
            kind, chosen = self._largest(links, inventory, str(pairs))
            standard = serving.standard if serving else Standard.of(_stacked(vectors.values()))
            linked = self._joined(request.modality, kind, chosen, vectors, standard)
            found = join(
                linked, self._distractors(linked), self.defaults,
                tried=lambda rung: self._say(f"{request.modality} -> {kind}: {rung}"),
            )  # fmt: skip
            made = JoinedTower(
                modality=request.modality,
                tower=reader.tower,
                revision=reader.revision or "",
                patterns=reader.patterns,
                standard=standard,
                map=found.map,
                calibrations=found.calibrations,
            )
            good = install and (found.better or force)
            trials = [
                Trial(pair=pair, verdict=verdict, kept=None, installed=good)
                for pair, verdict in found.verdicts.items()
            ]
            name = self.shelf.free_name(request.modality)
            if good:
                self._keep(name, made, trials)
                self._try_again(reader)
        if good:
            self.tuner.tune_again(self.progress)
        return AdaptReport(name=name if good else None, trials=trials, notes=self.notes)

    def _keep(self, name: str, made: JoinedTower, trials: Sequence[Trial]) -> None:
        info = self.encoder.info
        report = {"directions": [trial.to_dict() for trial in trials]}
        encoder = f"{info.name}@{info.revision}"
        self.shelf.put(Adapter(name=name, encoder=encoder, joins=made, report=report))
        self.shelf.use(name)
        self.shelf.place()

    def _try_again(self, reader: TowerReader) -> None:
        """Let the next run read files that are the tower's and failed with whatever read them."""
        failed = [
            replace(record, etag="", content_hash=None)
            for record in self.store.records()
            if record.status is AssetStatus.FAILED
            and reader.reads(unquote(urlsplit(record.uri).path))
        ]
        if failed:
            self.store.upsert(failed, [])

    def _require_free(
        self, request: Request, reader: TowerReader, serving: JoinedTower | None
    ) -> None:
        """Refuse a modality that the encoder, or another tower, embeds already."""
        info = self.encoder.info
        if serving is not None:
            require_same(reader.tower, reader.revision or "", serving)
        if serving is None and request.modality in info.towers:
            free = ", ".join(m for m in Modality if m not in info.towers) or "none"
            raise ConfigError(
                f"--modality {request.modality}: encoder '{info.name}' embeds it itself; a tower "
                f"can be joined for what it lacks: {free}"
            )

    def _links(
        self,
        asked: Iterable[LabelledQuery],
        reader: TowerReader,
        inventory: Inventory,
        beside: Path,
    ) -> Iterator[tuple[str, str | Item]]:
        """The uri of each file that the tower reads, with what it belongs to."""
        lost: list[str] = []
        for query in asked:
            own = query.is_file and reader.reads(query.query)
            for name in query.relevant:
                file = query.query if own else name
                other: str | Item | None = query.query
                if own or query.is_file:
                    items = inventory.find(name if own else query.query, beside=beside)
                    other = items[0] if len(items) == 1 else None
                uri = _uri(file, beside) if reader.reads(file) else None
                if uri is None or other is None:
                    lost.append(f"{query.query} | {name}")
                else:
                    self._note_split(query, (uri, other))
                    yield uri, other
        if lost:
            called = ", ".join(reader.patterns)
            self.notes.append(
                f"{len(lost):,} pairs were left out (e.g. {lost[0]}): of each pair one must be a "
                f"file that is there and is called {called}, the other a text or an asset of the "
                "collection"
            )

    def _vectors(self, uris: Sequence[str], reader: TowerReader) -> Mapping[str, Floats]:
        """What the tower makes of each file; those of a length of their own are left out."""
        found, failed = vectors_of(list(dict.fromkeys(uris)), reader, self.progress)
        told = [error.reason for error in failed]
        lengths = [len(vector) for vector in found.values()]
        usual = max(set(lengths), key=lengths.count, default=0)
        odd = {uri: vector for uri, vector in found.items() if len(vector) != usual}
        told += [f"a vector of {len(v)} numbers, others have {usual}" for v in odd.values()]
        if told:
            names = [error.uri for error in failed] + list(odd)
            self.notes.append(
                f"{len(told):,} of {len(found) + len(failed):,} files cannot be embedded "
                f"(e.g. {names[0]}: {told[0]})"
            )
        return {uri: vector for uri, vector in found.items() if uri not in odd}

    def _largest(
        self, links: Sequence[tuple[str, str | Item]], inventory: Inventory, source: str
    ) -> tuple[Modality, Sequence[tuple[str, str | Item]]]:
        """The pairs with the other modality that most are with.

        Raises:
            ConfigError: There are too few.
        """
        kinds: dict[Modality, list[tuple[str, str | Item]]] = {}
        for uri, other in links:
            text = isinstance(other, str)
            kind = Modality.TEXT if text else inventory.entries[other].modality  # type: ignore[index]
            kinds.setdefault(kind, []).append((uri, other))
        most = max(kinds, key=lambda kind: len(kinds[kind]), default=Modality.TEXT)
        chosen = kinds.pop(most, [])
        if len(chosen) < MIN_GROUPS:
            notes = "; ".join(self.notes)
            raise ConfigError(
                f"--pairs {source}: {len(chosen)} pairs with files that the tower reads; at least "
                f"{MIN_GROUPS} are needed, and some hundred make a difference"
                + (f" ({notes})" if notes else "")
            )
        for kind, few in kinds.items():
            self.notes.append(f"{len(few):,} pairs with {kind} were left out: most are with {most}")
        return most, chosen

    def _joined(
        self,
        modality: Modality,
        kind: Modality,
        links: Sequence[tuple[str, str | Item]],
        vectors: Mapping[str, Floats],
        standard: Standard,
    ) -> Linked:
        uris = list(dict.fromkeys(uri for uri, _ in links))
        others = list(dict.fromkeys(other for _, other in links))
        row = {uri: i for i, uri in enumerate(uris)}
        column = {other: i for i, other in enumerate(others)}
        towers = standard(_stacked(vectors[uri] for uri in uris))
        unplaced = np.zeros((len(uris), self.encoder.info.dim), np.float32)
        linked = Linked(
            first=Side(modality=modality, keys=uris, embeddings=Embeddings(unplaced, towers)),
            second=self._texts([o for o in others if isinstance(o, str)])
            if kind is Modality.TEXT
            else self._media(kind, [o for o in others if not isinstance(o, str)]),
            links=np.unique([(row[uri], column[other]) for uri, other in links], axis=0),
        )
        return self._kept_pairs(linked, uris, others)


def _stacked(vectors: Iterable[Floats]) -> Floats:
    return np.stack(list(vectors))


def _uri(name: str, beside: Path) -> str | None:
    """Where a file lies; None where it is not there."""
    if "://" in name:
        return uri_of(name)
    tried = (folder / Path(name).expanduser() for folder in (beside, Path.cwd()))
    found = next((path for path in tried if path.is_file()), None)
    return None if found is None else found.absolute().as_uri()
