"""Every error polyseek raises.

::

    PolyseekError
    ├── ConfigError                     a setting, flag or plug-in name is wrong
    │   ├── UnknownPluginError
    │   └── MissingExtraError
    ├── SourceError                     a folder, bucket or listing cannot be read
    │   ├── SourceNotFoundError
    │   └── EmptySourceError
    ├── AssetError(uri)                 one asset failed; collected, the run goes on
    │   ├── UnsupportedMediaError
    │   └── DecodeError
    │       └── EmptyMediaError
    ├── EncoderError                    an encoder cannot be used
    │   ├── ModelLoadError
    │   ├── DimensionError
    │   └── ChecksumError
    ├── StoreError                      a collection cannot be read or written
    │   ├── CollectionNotFoundError
    │   ├── CollectionBusyError
    │   └── IncompatibleCollectionError
    ├── QueryError                      a query cannot be answered as asked
    │   ├── InvalidFilterError
    │   └── UnknownAssetError
    └── ServerError                     a polyseek server cannot be reached, or refuses

A message says what happened, to which thing, what was expected, and what to do next. Only
`AssetError` is collected during an ingest run; every other error stops it.
"""

from collections.abc import Iterable


class PolyseekError(Exception):
    """Base of every error polyseek raises on purpose."""


class ConfigError(PolyseekError):
    """A setting, flag or plug-in name is wrong."""


class UnknownPluginError(ConfigError):
    """No plug-in of that name is registered; the message lists those that are."""

    def __init__(self, role: str, name: str, known: Iterable[str]) -> None:
        self.role, self.name, self.known = role, name, sorted(known)
        super().__init__(f"unknown {role} '{name}'; known: {', '.join(self.known) or 'none'}")


class MissingExtraError(ConfigError):
    """An optional dependency is not installed; the message is the line that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs an extra: pip install 'polyseek[{extra}]'")


class SourceError(PolyseekError):
    """A folder, bucket or listing cannot be read."""


class SourceNotFoundError(SourceError):
    """There is no folder or file of that name."""


class EmptySourceError(SourceError):
    """The source lists nothing to index."""


class AssetError(PolyseekError):
    """One asset failed. It is recorded on the asset and the run goes on.

    Args:
        uri: The asset it happened to.
        reason: One line, without the uri.
    """

    status = "failed"
    final = False
    """Whether the same bytes would fail again; where they might not, the next run tries again."""

    def __init__(self, uri: str, reason: str) -> None:
        self.uri, self.reason = uri, reason
        super().__init__(f"{uri}: {reason}")

    def __reduce__(self) -> tuple[type["AssetError"], tuple[str, str]]:
        """Pickle by arguments: these errors cross the border of a decode worker."""
        return type(self), (self.uri, self.reason)


class UnsupportedMediaError(AssetError):
    """No decoder reads this format."""

    status = "unsupported"
    final = True


class DecodeError(AssetError):
    """The bytes are broken, too large, or hold nothing that can be indexed."""

    final = True


class EmptyMediaError(DecodeError):
    """A stream holds nothing to index, only silence for example. No fault where others do."""


class EncoderError(PolyseekError):
    """An encoder cannot be used."""


class ModelLoadError(EncoderError):
    """A model file is missing, unreachable, or not readable as a model."""


class DimensionError(EncoderError):
    """A vector has another length than the space it is meant for."""


class ChecksumError(EncoderError):
    """A model file's bytes are not the pinned ones."""


class StoreError(PolyseekError):
    """A collection cannot be read or written."""


class CollectionNotFoundError(StoreError):
    """There is no collection at that location."""


class CollectionBusyError(StoreError):
    """Another process is writing to the collection."""


class IncompatibleCollectionError(StoreError):
    """The collection was made by another encoder or a newer format."""


class QueryError(PolyseekError):
    """A query cannot be answered as asked."""


class InvalidFilterError(QueryError):
    """A metadata filter does not parse or names an unknown field."""


class UnknownAssetError(QueryError):
    """The collection has no asset or segment of that id."""


class ServerError(PolyseekError):
    """A polyseek server cannot be reached, or refuses to answer."""
