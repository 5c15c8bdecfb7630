"""What every source must do: inherit `SourceConformance` and say how to make a source."""

from __future__ import annotations

import io
import pickle
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from polyseek.core.errors import AssetError
from polyseek.core.protocols import Source
from polyseek.core.types import Asset


class SourceConformance(ABC):
    """Checks of `polyseek.core.protocols.Source`; name the subclass ``Test...``."""

    @abstractmethod
    def make_source(self, tmp_path: Path) -> Source:
        """A source that lists two readable assets at least, some with content."""

    def change(self, source: Source, asset: Asset) -> bool:  # noqa: ARG002 - for subclasses
        """Change the content of an asset where it lies; False if that cannot be done."""
        return False

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        """A source with assets."""
        return self.make_source(tmp_path)

    def test_assets_are_listed_in_a_stable_order_without_repetition(self, source: Source) -> None:
        assets = _assets(source)
        assert len(assets) > 1
        assert _assets(source) == assets
        uris = [asset.uri for asset in assets]
        assert len(set(uris)) == len(uris)

    def test_assets_are_described(self, source: Source) -> None:
        for asset in _assets(source):
            assert urlsplit(asset.uri).scheme, f"{asset.uri} is not absolute"
            assert asset.path, f"{asset.uri} has no path"
            assert not asset.path.startswith("/"), f"{asset.path} does not start at the root"
            assert asset.modified.utcoffset() == timedelta(0)
            assert asset.etag

    def test_an_asset_opens_as_its_bytes(self, source: Source) -> None:
        assets = _assets(source)
        assert any(asset.size_bytes for asset in assets)
        for asset in assets:
            with source.open(asset) as stream:
                content = stream.read()
                assert isinstance(content, bytes)
                assert len(content) == asset.size_bytes
                assert stream.seekable()
                stream.seek(-1 if content else 0, io.SEEK_END)
                assert stream.read() == content[-1:]
                stream.seek(0)
                assert stream.read() == content

    def test_an_asset_that_is_gone_raises_asset_error(self, source: Source) -> None:
        asset = _assets(source)[0]
        gone = replace(asset, uri=asset.uri + ".gone", path=asset.path + ".gone")
        with pytest.raises(AssetError) as caught:
            source.open(gone)
        assert caught.value.uri == gone.uri

    def test_it_covers_what_it_lists_and_nothing_else(self, source: Source) -> None:
        for asset in _assets(source):
            assert source.covers(asset.uri)
        assert not source.covers("elsewhere://polyseek/a.jpg")

    def test_a_pickled_copy_opens_assets(self, source: Source) -> None:
        copy: Source = pickle.loads(pickle.dumps(source))  # noqa: S301 - its own bytes
        assert _assets(copy) == _assets(source)
        for asset in _assets(source):
            with source.open(asset) as here, copy.open(asset) as there:
                assert here.read() == there.read()

    def test_the_etag_follows_the_content(self, source: Source) -> None:
        changed, *others = _assets(source)
        if not self.change(source, changed):
            pytest.skip("change() gives False: the content cannot be changed in a test")
        etags = {asset.uri: asset.etag for asset in _assets(source)}
        assert etags[changed.uri] != changed.etag
        for asset in others:
            assert etags[asset.uri] == asset.etag


def _assets(source: Source) -> list[Asset]:
    found = []
    for asset in source.list():
        assert isinstance(asset, Asset), f"could not be listed: {asset}"
        found.append(asset)
    return found
