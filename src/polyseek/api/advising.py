"""Which encoder suits this machine and these files: measured, not guessed."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polyseek.core.config import Settings, resolve_settings
from polyseek.core.defaults import defaults_of, shipped_adapters
from polyseek.core.errors import ConfigError, PolyseekError
from polyseek.core.reports import Progress, ProgressCallback
from polyseek.core.types import Modality, Role, Signal

PER_MODALITY = 40
"""Signals of each modality that are embedded."""

CLOSE = 0.02
"""Encoders whose quality differs by less are told apart by their speed."""

_KINDS = (Modality.IMAGE, Modality.AUDIO, Modality.TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One encoder on this machine.

    Attributes:
        name: As in ``--encoder NAME``.
        licence: Of its weights.
        quality: Share of wrong partners that score below the right one, 0.5 by chance: over pairs
            of the sample where it has some, over drawn probes and their names otherwise. None
            where it reads no text.
        per_s: Signals per second by modality, prepared and embedded.
        start_s: Time to the first embedding of a text.
        memory_bytes: Most memory its process took.
    """

    name: str
    licence: str
    quality: float | None
    per_s: Mapping[str, float]
    start_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What was measured, and what follows.

    Attributes:
        measured: Best first.
        notes: What was compared, what could not be, and the recommendation.
    """

    measured: Sequence[Measured]
    notes: Sequence[str] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"measured": [asdict(each) for each in self.measured], "notes": list(self.notes)}


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """Signals by modality, and pairs of a text with what it is about."""

    signals: Mapping[Modality, Sequence[Signal]]
    pairs: Mapping[Modality, Sequence[tuple[str, Signal]]]
    own: bool


def advise(
    names: Sequence[str] = (),
    *,
    sample: str | Path | None = None,
    settings: Settings | None = None,
    progress: ProgressCallback | None = None,
) -> Advice:
    """Measure encoders that are on this machine, each in a process of its own.

    Args:
        names: Encoders to try besides those of the catalogue that are here.
        sample: A folder of the user's own files. Pairs are files of one name, such as ``dog.jpg``
            and ``dog.txt``; drawn probes stand in where there are fewer than five.
        settings: Defaults to `polyseek.toml` and the environment.
        progress: Called with every encoder.

    Raises:
        ConfigError: The sample is no folder, or there is nothing to measure.
    """
    settings = settings or resolve_settings()
    candidates = [*dict.fromkeys([*_here(settings), *names])]
    if not candidates:
        raise ConfigError(
            "no encoder is on this machine; fetch some with 'polyseek models pull NAME', or name "
            "model folders"
        )
    drawn = _sample(Path(sample) if sample is not None else None)
    measured, notes = [], []
    for done, name in enumerate(candidates):
        if progress:
            progress(Progress(stage="advise", done=done, total=len(candidates), label=name))
        try:
            measured.append(_in_a_process(name, settings, drawn))
        except PolyseekError as error:
            notes.append(f"{name}: not measured: {error}")
    measured.sort(key=lambda each: -(each.quality or 0))
    notes += _conclusion(measured, own=drawn.own)
    return Advice(measured=measured, notes=notes)


def _here(settings: Settings) -> list[str]:
    from polyseek.core import hub
    from polyseek.core.artifacts import cached
    from polyseek.encode.catalogue import ENTRIES, READABLE

    return [
        name
        for name, entry in ENTRIES.items()
        if entry.family in READABLE
        and (settings.allow_noncommercial or not entry.noncommercial)
        and (
            all(cached(each, settings) for each in entry.artifacts)
            if entry.artifacts
            else hub.pulled(entry.source, settings)
        )
    ]


def _sample(folder: Path | None) -> _Sample:
    from polyseek.evaluate.probes import pictures, sounds

    probes: dict[Modality, list[tuple[str, Signal]]] = {
        Modality.IMAGE: list(pictures().items()),
        Modality.AUDIO: list(sounds().items()),
    }
    signals: dict[Modality, list[Signal]] = {
        modality: [signal for _, signal in pairs] for modality, pairs in probes.items()
    }
    signals[Modality.TEXT] = [name for pairs in probes.values() for name, _ in pairs]
    if folder is None:
        return _Sample(signals=signals, pairs=probes, own=False)
    if not folder.is_dir():
        raise ConfigError(f"--sample {folder}: no such folder")
    own, paired = _own(folder)
    if not any(own.values()):
        raise ConfigError(f"--sample {folder}: holds no picture, sound or text that can be read")
    enough = {modality: pairs for modality, pairs in paired.items() if len(pairs) >= 5}
    return _Sample(signals={**signals, **own}, pairs=enough or probes, own=bool(enough))


def _own(
    folder: Path,
) -> tuple[dict[Modality, list[Signal]], dict[Modality, list[tuple[str, Signal]]]]:
    """Signals of a folder's files, and those that a text of the same name goes with."""
    from polyseek.core.errors import AssetError, QueryError
    from polyseek.ingest.term import read_query

    found: dict[Modality, dict[str, Signal]] = {modality: {} for modality in _KINDS}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            query = read_query(path)
        except (AssetError, QueryError):
            continue
        kept = found.get(query.modality)
        if kept is not None and len(kept) < PER_MODALITY:
            kept[str(path.with_suffix(""))] = query.signals[0]
    texts = found[Modality.TEXT]
    pairs: dict[Modality, list[tuple[str, Signal]]] = {
        modality: [(str(texts[stem]), signal) for stem, signal in kept.items() if stem in texts]
        for modality, kept in found.items()
        if modality is not Modality.TEXT
    }
    return {m: list(kept.values()) for m, kept in found.items() if kept}, pairs


def _in_a_process(name: str, settings: Settings, sample: _Sample) -> Measured:
    """A process of its own: its start and its memory are nobody else's."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, name, settings, sample).result()


def _measure(name: str, settings: Settings, sample: _Sample) -> Measured:
    from polyseek.encode import names
    from polyseek.evaluate.subject import embedded

    began = time.perf_counter()
    encoder = names.load(name, settings)
    if Modality.TEXT in encoder.info.towers:
        embedded(encoder, Modality.TEXT, ["a"], role=Role.QUERY)
    start_s = time.perf_counter() - began
    per_s = {}
    for modality, signals in sample.signals.items():
        if modality in encoder.info.towers:
            embedded(encoder, modality, signals[:1], role=Role.DOCUMENT)
            began = time.perf_counter()
            embedded(encoder, modality, signals, role=Role.DOCUMENT)
            per_s[str(modality)] = round(len(signals) / (time.perf_counter() - began), 2)
    return Measured(
        name=name,
        licence=_licence(name, encoder),
        quality=_quality(encoder, sample),
        per_s=per_s,
        start_s=round(start_s, 2),
        memory_bytes=_peak_bytes(),
    )


def _quality(encoder: Any, sample: _Sample) -> float | None:
    from polyseek.evaluate.subject import embedded
    from polyseek.evaluate.towers import match

    if Modality.TEXT not in encoder.info.towers:
        return None
    shares, adapters = [], shipped_adapters(defaults_of(encoder.info.name))
    for modality, pairs in sample.pairs.items():
        if modality in encoder.info.towers and len(pairs) > 1:
            names = embedded(encoder, Modality.TEXT, [text for text, _ in pairs], role=Role.QUERY)
            things = embedded(encoder, modality, [thing for _, thing in pairs], role=Role.DOCUMENT)
            pair = Modality.TEXT, modality
            asked = adapters.move(Modality.TEXT, names).compared(pair)
            shares.append(match(asked, things.compared(pair)).above)
    return round(float(np.mean(shares)), 4) if shares else None


def _licence(name: str, encoder: Any) -> str:
    from polyseek.encode.catalogue import ENTRIES

    if name in ENTRIES:
        return ENTRIES[name].licence
    spec = getattr(encoder, "spec", None)
    return str(getattr(spec, "licence", "") or "not named")


def _peak_bytes() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _conclusion(measured: Sequence[Measured], *, own: bool) -> list[str]:
    over = "pairs of your sample" if own else "drawn probes and their names"
    notes = [f"quality: share of wrong partners below the right one, over {over} (.5 by chance)"]
    judged = [each for each in measured if each.quality is not None]
    if not judged:
        return [*notes, "no encoder could be judged"]
    best = max(each.quality or 0 for each in judged)
    near = [each for each in judged if (each.quality or 0) >= best - CLOSE]
    chosen = max(near, key=lambda each: sum(each.per_s.values()))
    why = "the best here" if len(near) == 1 else f"the fastest of {len(near)} that are as good"
    return [
        *notes,
        f"recommended: --encoder {chosen.name} ({why}; {chosen.licence}); published figures of "
        "others: 'polyseek models'",
    ]
