"""Models on a Hugging Face hub, through its own client and in its own cache (``HF_HOME``).

What a collection was made with must never move: a branch is resolved to a commit once, every file
of that commit that counts is checked against the hub's own digest and recorded with its SHA-256,
and a recorded commit opens without the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from polyseek.core.errors import ChecksumError, MissingExtraError, ModelLoadError
from polyseek.core.model_files import ModelFiles, is_noncommercial, read_json, sha256_of

if TYPE_CHECKING:
    from polyseek.core.config import Settings
    from polyseek.core.reports import ProgressCallback

PREFIX = "hf:"
SMALL_BYTES = 1024 * 1024
"""Files up to this size are fetched first, and looked at before the weights are."""

_REPO = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?$")
_COMMIT = re.compile(r"[0-9a-f]{40}$")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a repository holds at one commit.

    Attributes:
        name: ``hf:owner/repo@commit``.
        commit: 40 hex digits.
        sizes: Length in bytes by file name.
        digests: ``sha256:...`` or ``git:...`` by file name, where the hub tells.
        licence: As the model's card names it.
        asked: The revision it was asked for; empty for the repository's main branch.
    """

    name: str
    commit: str
    sizes: Mapping[str, int]
    digests: Mapping[str, str]
    licence: str
    asked: str = ""

    @property
    def noncommercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return is_noncommercial(self.licence)


Choose: TypeAlias = "Callable[[Sequence[str]], Sequence[str]]"
"""Which of a repository's files are needed."""

Look: TypeAlias = "Callable[[Path], None]"
"""Called with the folder once the small files are there, before the large ones are fetched."""


def parse(name: str) -> tuple[str, str | None]:
    """Repository and revision of ``hf:owner/repo[@revision]``.

    Raises:
        ModelLoadError: It does not read as one.
    """
    found = _REPO.match(name)
    if not found:
        raise ModelLoadError(
            f"{name}: expected hf:owner/repository or hf:owner/repository@revision"
        )
    return found["repo"], found["revision"]


def listing(name: str, settings: Settings) -> Listing:
    """What a repository holds: of a recorded commit as recorded, else as the hub says.

    Raises:
        ModelLoadError: There is no such repository or revision, or it cannot be reached.
        MissingExtraError: The hub's client is not installed.
    """
    repo, revision = parse(name)
    if revision and _COMMIT.match(revision) and _record_path(repo, revision, settings).exists():
        return _read_listing(_record_path(repo, revision, settings))
    if settings.offline:
        return _read_listing(_latest(name, repo, revision, settings))
    client = _client()
    with _translated(name):
        info = client.HfApi().model_info(repo, revision=revision, files_metadata=True)
    return Listing(
        name=f"{PREFIX}{repo}@{info.sha}",
        commit=str(info.sha),
        sizes={each.rfilename: each.size or 0 for each in info.siblings or ()},
        digests=dict(_digests(info.siblings or ())),
        licence=_licence(info.card_data),
        asked=revision or "",
    )


def pull(
    found: Listing,
    choose: Choose,
    look: Look,
    settings: Settings,
    *,
    progress: ProgressCallback | None = None,
    verify: bool = False,
) -> ModelFiles:
    """The files of a commit, fetched where they are not in the cache.

    Args:
        found: What the repository holds.
        choose: Which of its files are needed.
        look: Sees the small files before the large ones are fetched.
        settings: Where records are kept, and whether the network may be used.
        progress: Called while bytes arrive.
        verify: Read every file again and compare, although it was fetched and checked before.

    Raises:
        ModelLoadError: A file is missing or cannot be fetched.
        ChecksumError: A file's bytes are not those the hub says it has.
    """
    repo, _ = parse(found.name)
    record = _record_path(repo, found.commit, settings)
    names = sorted(choose(list(found.sizes)), key=lambda name: found.sizes[name])
    known: dict[str, str] = read_json(record).get("sha256", {})
    total = sum(found.sizes[name] for name in names)
    folder, done, looked = Path(), 0, False
    for name in names:
        large = found.sizes[name] > SMALL_BYTES
        if large and not looked and not _is_cached(_client(), repo, name, found.commit):
            look(folder)
            looked = True
        bar = _reporter(progress, done, total, name)
        path = _fetch(repo, found, name, settings, bar)
        folder = path.parents[name.count("/")]
        if verify or name not in known:
            known[name] = _checked(path, found, name)
        done += found.sizes[name]
    _write_record(record, found, known)
    return ModelFiles(
        name=found.name,
        folder=folder,
        revision=found.commit,
        checksums={name: known[name] for name in sorted(names)},
        licence=found.licence,
    )


def pulled(name: str, settings: Settings) -> bool:
    """Whether a repository has been pulled before, at this revision or, without one, at any."""
    repo, revision = parse(name)
    try:
        _latest(name, repo, revision, settings)
    except ModelLoadError:
        return False
    return True


def _fetch(repo: str, found: Listing, name: str, settings: Settings, bar: Any) -> Path:
    client = _client()
    offline = settings.offline
    with _translated(found.name, file=name, offline=offline):
        path = Path(
            client.hf_hub_download(repo, name, revision=found.commit, local_files_only=True)
            if _is_cached(client, repo, name, found.commit)
            else client.hf_hub_download(
                repo,
                name,
                revision=found.commit,
                local_files_only=offline,
                tqdm_class=bar,
            )
        )
    size = path.stat().st_size
    if size != found.sizes[name]:
        raise ModelLoadError(
            f"{path}: {size:,} bytes, expected {found.sizes[name]:,}: damaged; delete it and run "
            f"'polyseek models pull {found.name}'"
        )
    return path


def _is_cached(client: ModuleType, repo: str, name: str, commit: str) -> bool:
    return isinstance(client.try_to_load_from_cache(repo, name, revision=commit), str)


def _checked(path: Path, found: Listing, name: str) -> str:
    """SHA-256 of a file that has the bytes the hub says it has; a wrong one is removed."""
    sha256 = sha256_of(path)
    kind, _, expected = found.digests.get(name, "").partition(":")
    actual = {"sha256": lambda: sha256, "git": lambda: _git_digest(path)}
    if kind in actual and actual[kind]() != expected:
        blob = path.resolve()
        path.unlink()
        blob.unlink(missing_ok=True)
        raise ChecksumError(
            f"{found.name}: the file '{name}' has other bytes than the hub says it should "
            f"({kind} {expected}); it was removed, pull it again"
        )
    return sha256


def _git_digest(path: Path) -> str:
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    digest.update(path.read_bytes())
    return digest.hexdigest()


def _digests(siblings: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for each in siblings:
        if each.lfs is not None and each.lfs.sha256:
            yield each.rfilename, f"sha256:{each.lfs.sha256}"
        elif each.blob_id:
            yield each.rfilename, f"git:{each.blob_id}"


def _licence(card: Any) -> str:
    if card is None:
        return ""
    names = card.get("license"), card.get("license_name")
    return " ".join(str(name) for name in names if name)


def _record_path(repo: str, commit: str, settings: Settings) -> Path:
    return settings.models / "hub" / repo.replace("/", "--") / f"{commit}.json"


def _latest(name: str, repo: str, revision: str | None, settings: Settings) -> Path:
    """The record of the commit that was pulled last, of those the revision allows."""
    records = _record_path(repo, "", settings).parent.glob("*.json")
    found = [
        path
        for path in sorted(records, key=lambda path: path.stat().st_mtime)
        if revision is None
        or path.stem.startswith(revision)
        or read_json(path).get("asked") == revision
    ]
    if not found:
        raise ModelLoadError(
            f"{name}: not on this machine, and polyseek is set to offline; fetch it once with a "
            f"network: 'polyseek models pull {name}'"
        )
    return found[-1]


def _read_listing(record: Path) -> Listing:
    read = read_json(record)
    try:
        names = ("name", "commit", "sizes", "digests", "licence", "asked")
        return Listing(**{name: read[name] for name in names})
    except KeyError as error:
        raise ModelLoadError(
            f"{record}: lacks {error}; delete it and pull the model again"
        ) from None


def _write_record(path: Path, found: Listing, sha256: Mapping[str, str]) -> None:
    record = {
        "name": found.name,
        "commit": found.commit,
        "sizes": dict(found.sizes),
        "digests": dict(found.digests),
        "licence": found.licence,
        "asked": found.asked,
        "sha256": dict(sha256),
    }
    if read_json(path) == record:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ModelLoadError(
            f"{path}: cannot be written ({error.strerror}); set POLYSEEK_HOME to a folder that can"
        ) from error


def _client() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtraError("a model on the Hugging Face hub", "hub") from None
    module: ModuleType = huggingface_hub
    return module


@contextmanager
def _translated(name: str, *, file: str = "", offline: bool = False) -> Iterator[None]:
    """Turn the client's errors into ours, with what to do."""
    from huggingface_hub import errors

    what = f"{name}: the file '{file}'" if file else name
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelLoadError(
            f"{name}: asks its users to accept its terms; accept them on its page on the hub, then "
            "log in with 'hf auth login' or set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelLoadError(f"{name}: the repository has no such revision") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelLoadError(
            f"{name}: no such repository, or a private one; check the spelling, and log in with "
            "'hf auth login' or set HF_TOKEN for a private one"
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise ModelLoadError(f"{what}: the repository does not have it any more") from error
    except errors.LocalEntryNotFoundError as error:
        why = (
            "not on this machine, and polyseek is set to offline"
            if offline
            else f"cannot be fetched: {error.__cause__ or error}"
        )
        raise ModelLoadError(
            f"{what}: {why}; fetch it once with a network: 'polyseek models pull {name}'"
        ) from error
    # HTTP statuses, connections, the disk; its HTTP library differs from release to release.
    except Exception as error:
        told = " ".join(str(error).split())[:300]
        raise ModelLoadError(
            f"{what}: cannot be fetched: {told or type(error).__name__}; "
            "POLYSEEK_OFFLINE=1 uses what was pulled before"
        ) from error


def _reporter(progress: ProgressCallback | None, done: int, total: int, label: str) -> Any:
    """A progress bar class for the client that tells our callback, and draws nothing itself."""
    from tqdm import tqdm

    from polyseek.core.reports import Progress

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})
            self.arrived = int(kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            self.arrived += int(n or 0)
            if progress:
                at = min(done + self.arrived, total)
                progress(Progress(stage="download", done=at, total=total, label=label))
            return None

    return Silent
