"""Which recognisers a run has: plug-ins that find words in pictures and in speech."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from polyseek.core import plugins
from polyseek.core.config import IndexOptions, Settings, resolve_settings
from polyseek.core.protocols import SpeechRecogniser, TextRecogniser
from polyseek.core.types import AssetRecord
from polyseek.ingest.marks import Marks, habits


@dataclass(frozen=True, kw_only=True)
class Recognisers:
    """The recognisers of a run; None where it has none. Picklable."""

    text: TextRecogniser | None = None
    speech: SpeechRecogniser | None = None

    @property
    def marks(self) -> Marks:
        """What they leave on the assets they read."""
        made = {"ocr": self.text, "asr": self.speech}
        return {work: engine.name for work, engine in made.items() if engine is not None}


def recognisers(
    options: IndexOptions, records: Iterable[AssetRecord], settings: Settings | None = None
) -> Recognisers:
    """The recognisers that the options, or the collection's habits, ask for, ready for use.

    Raises:
        MissingExtraError: One needs a package that is not installed; the message installs it.
        ModelLoadError: Its model files are not there and cannot be fetched.
        UnknownPluginError: Nothing of that name is registered.
    """
    used = habits(records) if None in (options.ocr, options.asr) else {}
    text = used.get("ocr") if options.ocr is None else options.ocr and options.ocr_engine
    speech = used.get("asr") if options.asr is None else options.asr and options.asr_engine
    if not (text or speech):
        return Recognisers()
    settings = settings or resolve_settings()
    return Recognisers(
        text=_load("text_recogniser", text, settings),
        speech=_load("speech_recogniser", speech, settings),
    )


def _load(role: str, name: str | Literal[False] | None, settings: Settings) -> Any:
    return plugins.load(role, name)(settings) if name else None
