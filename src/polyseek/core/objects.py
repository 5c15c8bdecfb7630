"""Object storage by URL: one client per bucket, credentials the standard way, errors in one line.

Credentials come from the environment (``AWS_...``, ``GOOGLE_...``, ``AZURE_...``), for S3 also from
the profile files of the AWS tools, and last from the machine's own role. They are never shown.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from polyseek.core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

BUCKETS = ("s3", "gs", "az")
"""Schemes of object storage that can be listed and written."""

_SCHEME = re.compile(r"(manifest(?=:)|[a-z][a-z0-9+-]+(?=://))")
_TIMEOUTS = {"connect_timeout": "5s", "timeout": "120s"}
_RETRY: RetryConfig = {
    "max_retries": 8,
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=4)},
}
"""Throttled (503) or dropped requests are repeated for about fifteen seconds."""


def scheme_of(location: object) -> str | None:
    """The scheme of a URL, or of ``manifest:PATH``; None for paths."""
    found = _SCHEME.match(location) if isinstance(location, str) else None
    return found[1] if found else None


def split_url(url: str) -> tuple[str, str]:
    """A bucket's URL and a key as people type it: ``s3://photos/my trip`` is not quoted."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise ConfigError(f"{url}: names no bucket; expected {scheme}://BUCKET/PREFIX")
    return f"{scheme}://{bucket}", key.strip("/")


def uri_of_key(bucket: str, key: str) -> str:
    """The uri of an object: the key is quoted, so that ``#``, ``?`` and ``%`` can be in it."""
    return f"{bucket}/{quote(key)}"


def split_uri(uri: str) -> tuple[str, str]:
    """The reverse of `uri_of_key`."""
    bucket, key = split_url(uri)
    return bucket, unquote(key)


@cache
def bucket_of(url: str) -> ObjectStore:
    """The client for a bucket's URL, one per process.

    Raises:
        ConfigError: The credentials in the environment or a profile cannot be used.
    """
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    parts = urlsplit(url)
    client = {**_TIMEOUTS, "allow_http": _http_allowed()}
    options: Any = {"client_options": client, "retry_config": _RETRY}
    try:
        match parts.scheme:
            case "s3":
                config: Any = _aws()
                return S3Store(parts.netloc, config=config, **options)
            case "gs":
                return GCSStore(parts.netloc, **options)
            case _:
                return AzureStore(container_name=parts.netloc, **options)
    except (BaseError, ValueError) as error:
        raise ConfigError(f"{url}: {explain(url, error)}") from error


@cache
def web_of(origin: str, query: str) -> ObjectStore:
    """The client for ``https://host``; every request ends in the same query."""
    from obstore.store import HTTPStore

    url = f"{origin}?{query}" if query else origin
    options: Any = {**_TIMEOUTS, "allow_http": True}
    return HTTPStore.from_url(url, client_options=options, retry_config=_RETRY)


def folders_in(url: str) -> list[str]:
    """Names of the folders directly below a prefix; none where there is nothing.

    Raises:
        StoreError: The bucket cannot be listed.
    """
    import obstore
    from obstore.exceptions import BaseError

    bucket, prefix = split_url(url)
    try:
        listed = obstore.list_with_delimiter(bucket_of(bucket), prefix or None)
    except (BaseError, OSError, ValueError) as error:
        raise StoreError(f"{url}: {explain(url, error)}") from error
    return [folder.strip("/").rpartition("/")[2] for folder in listed["common_prefixes"]]


def storage_options(url: str) -> dict[str, str]:
    """What Lance needs to know beyond the environment to reach a bucket."""
    options = {
        "client_max_retries": str(_RETRY["max_retries"]),
        "allow_http": str(_http_allowed()).lower(),
    }
    return {**options, **(_aws() if scheme_of(url) == "s3" else {})}


def explain(url: str, error: object) -> str:
    """What an error of object storage means and what to do about it, without secrets.

    Args:
        url: Where it happened.
        error: As a client raised it, or its text.
    """
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"(?:status code|status): (\d{3})", text)
    found = code[1] if code else status[1] if status else ""
    if "169.254." in text or "metadata.google" in text:
        return f"no credentials found; {_CREDENTIALS.get(scheme_of(url) or '', _NO_HELP)}"
    for pattern, meaning in _BY_CODE if found else _BY_TEXT:
        if re.search(pattern, found or text):
            help_ = _CREDENTIALS.get(scheme_of(url) or "", _NO_HELP)
            return meaning.format(code=found, help=help_)
    first = text.partition("\n")[0]
    return found or re.sub(r"https?://\S+", "", first)[:200].strip()


def is_missing(error: BaseException) -> bool:
    """Whether an error says that there is no such object in a bucket that is there."""
    return isinstance(error, FileNotFoundError) and not has_no_bucket(error)


def has_no_bucket(error: BaseException) -> bool:
    """Whether an error says that there is no such bucket or container."""
    return re.search(_NO_BUCKET, str(error)) is not None


_NO_HELP = "check its address"
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE "
    "(AWS_SKIP_SIGNATURE=true for a public bucket)",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_NO_BUCKET = "NoSuchBucket|ContainerNotFound"
_BY_CODE = (
    (
        _NO_BUCKET,
        "no such bucket; check its name, the region and the endpoint",
    ),
    ("InvalidBucketName", "no valid name of a bucket"),
    (
        "RequestTimeTooSkewed|RequestExpired",
        "refused, because this machine's clock is minutes off; set the clock ({code})",
    ),
    (
        "PermanentRedirect|AuthorizationHeaderMalformed|30[17]",
        "is in another region; set AWS_REGION",
    ),
    ("AccessDenied", "these credentials may not do this ({code}); {help}"),
    (
        "InvalidAccessKeyId|SignatureDoesNotMatch|Token|Authenti|Authorization|40[13]|Unauthenticated|Permission",
        "the credentials were refused ({code}); {help}",
    ),
    (
        "SlowDown|ServiceUnavailable|TooManyRequests|ServerBusy|503|429",
        "the server is throttling requests ({code}) and went on doing so; try again later",
    ),
    ("InternalError|5\\d\\d", "the server failed ({code}); try again later"),
    ("NoSuchKey|404", "is not there"),
)
"""What a server's code or, where it gives none, its HTTP status means."""

_BY_TEXT = (
    ("redirect without LOCATION", "is in another region; set AWS_REGION"),
    (
        "error sending request|[Cc]onnect|dns error|timed? ?out",
        "cannot be reached; check the network and the endpoint",
    ),
    ("not found", "is not there"),
)
"""What errors mean that no server sent."""


def _http_allowed() -> bool:
    """Plain HTTP is for an endpoint that says so: a server of one's own."""
    endpoints = (os.environ.get(name, "") for name in _ENDPOINTS)
    told = os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true"
    return told or any(e.startswith("http://") for e in (*endpoints, _profile().get(_ENDPOINT, "")))


_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
_ENDPOINT, _REGION = "aws_endpoint", "aws_region"


def _aws() -> dict[str, str]:
    """Settings of S3 by the names that Lance and obstore share; the environment wins."""
    found = dict(_profile())
    endpoint = next((os.environ[e] for e in _ENDPOINTS[:3] if os.environ.get(e)), None)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        found[_ENDPOINT] = endpoint
    if region or _ENDPOINT in found:
        found[_REGION] = region or found.get(_REGION, "us-east-1")
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        for key, variable in _KEYS.items():
            found.pop(key, None)
            if os.environ.get(variable):
                found[key] = os.environ[variable]
    return found


_KEYS = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
}


def _profile() -> dict[str, str]:
    """What the chosen profile of the AWS tools says, as far as it is written there.

    Raises:
        ConfigError: The profile is not there, or its keys have to be fetched from elsewhere.
    """
    chosen = os.environ.get("AWS_PROFILE")
    name = chosen or "default"
    keys = _section("AWS_SHARED_CREDENTIALS_FILE", "credentials", name)
    other = _section("AWS_CONFIG_FILE", "config", f"profile {name}" if chosen else name)
    other = other or _section("AWS_CONFIG_FILE", "config", name)
    both = {**other, **keys}
    if chosen and not both and not os.environ.get("AWS_ACCESS_KEY_ID"):
        raise ConfigError(f"AWS_PROFILE={name}: no such profile in ~/.aws/credentials or config")
    if chosen and "aws_access_key_id" not in both and not os.environ.get("AWS_ACCESS_KEY_ID"):
        raise ConfigError(
            f"AWS_PROFILE={name}: its keys are not written there (single sign-on or a role); run "
            f'eval "$(aws configure export-credentials --profile {name} --format env)" first'
        )
    found = {key: both[key] for key in _KEYS if key in both}
    if "region" in both:
        found[_REGION] = both["region"]
    if "endpoint_url" in both:
        found[_ENDPOINT] = both["endpoint_url"]
    return found


def _section(variable: str, file: str, name: str) -> Mapping[str, str]:
    path = Path(os.environ.get(variable) or f"~/.aws/{file}").expanduser()
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a file of the AWS tools") from error
    return dict(parser[name]) if parser.has_section(name) or name == "DEFAULT" else {}
