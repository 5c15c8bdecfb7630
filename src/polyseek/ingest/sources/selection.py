"""Which paths below a root are assets: include and exclude, hidden ones, collections."""

from __future__ import annotations

from pathlib import PurePosixPath

from pathspec import GitIgnoreSpec

from polyseek.core.config import IndexOptions
from polyseek.core.errors import ConfigError

COLLECTION_SUFFIX, COLLECTION_TABLE = ".polyseek", "assets.lance"
"""By its name, or by what it holds, a folder is a collection."""


class Selection:
    """What `include` and `exclude` leave, and never what is hidden or a collection.

    Raises:
        ConfigError: A pattern is none.
    """

    def __init__(self, options: IndexOptions) -> None:
        self._include = _patterns("include", options.include)
        self._exclude = _patterns("exclude", options.exclude)

    def wants(self, below: str) -> bool:
        """Whether the patterns leave a path."""
        if self._include and not self._include.match_file(below):
            return False
        return not self.excludes(below)

    def excludes(self, below: str) -> bool:
        """Whether it is left out by name."""
        return bool(self._exclude and self._exclude.match_file(below))

    def prunes(self, folder: str) -> bool:
        """Whether a whole folder is left out."""
        return self.excludes(folder + "/")

    def covers(self, below: str) -> bool:
        """Whether an asset at this path would be listed."""
        path = PurePosixPath(below)
        folders = list(path.parents)[:-1]
        passed_by = any(part.startswith(".") for part in path.parts) or any(
            folder.suffix == COLLECTION_SUFFIX or self.prunes(str(folder)) for folder in folders
        )
        return self.wants(below) and not passed_by


def _patterns(flag: str, lines: object) -> GitIgnoreSpec | None:
    patterns = [str(line) for line in lines] if isinstance(lines, (list, tuple)) else [str(lines)]
    if not any(patterns):
        return None
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise ConfigError(f"--{flag} {patterns}: not a .gitignore pattern: {error}") from error
