"""Exit codes, one table. The first class an error is an instance of decides."""

from polyseek.core import errors

OK = 0
UNEXPECTED = 1
USAGE = 2
WARNINGS = 3
UNHEALTHY = 4
REGRESSION = 5
NOT_BETTER = 6
INTERRUPTED = 130

TABLE: dict[type[errors.PolyseekError], int] = {
    errors.UnknownPluginError: 11,
    errors.MissingExtraError: 12,
    errors.ConfigError: 10,
    errors.SourceNotFoundError: 21,
    errors.EmptySourceError: 22,
    errors.SourceError: 20,
    errors.AssetError: 30,
    errors.ModelLoadError: 41,
    errors.ChecksumError: 42,
    errors.EncoderError: 40,
    errors.CollectionNotFoundError: 51,
    errors.CollectionBusyError: 52,
    errors.IncompatibleCollectionError: 53,
    errors.StoreError: 50,
    errors.InvalidFilterError: 61,
    errors.UnknownAssetError: 62,
    errors.QueryError: 60,
    errors.ServerError: 70,
    errors.PolyseekError: UNEXPECTED,
}


def code_of(error: errors.PolyseekError) -> int:
    """The exit code for an error."""
    return next(code for kind, code in TABLE.items() if isinstance(error, kind))
