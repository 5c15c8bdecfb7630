import pytest

from polyseek.ingest.sources.files import FileSource, local_path
from polyseek.ingest.sources.objects import ObjectSource
from polyseek.testing.source import SourceConformance
from s3_fixtures import put


class TestFolder(SourceConformance):
    def make_source(self, tmp_path):
        root = tmp_path / "a folder"
        (root / "sub").mkdir(parents=True)
        (root / "photo.jpg").write_bytes(b"\x00\x01\xff" * 50)
        (root / "photo.jpg.json").write_text('{"title": "beside"}')
        (root / "sub" / "it's 50% größe #1?.txt").write_text("text")
        (root / "sub" / "empty").touch()
        return FileSource(root)

    def change(self, source, asset):
        with local_path(asset.uri).open("ab") as file:
            file.write(b"more")
        return True


@pytest.mark.s3
class TestBucket(SourceConformance):
    @pytest.fixture(autouse=True)
    def _server(self, s3, bucket):
        self.bucket = bucket

    def make_source(self, tmp_path):
        root = f"{self.bucket}/a prefix"
        put(f"{root}/photo.jpg", b"\x00\x01\xff" * 50)
        put(f"{root}/photo.jpg.json", b'{"title": "beside"}')
        put(f"{root}/sub/it's 50% größe #1?.txt", b"text")
        put(f"{root}/sub/empty", b"")
        put(f"{self.bucket}/elsewhere.txt", b"not below")
        return ObjectSource(root)

    def change(self, source, asset):
        put(f"{self.bucket}/a prefix/{asset.path}", b"other content")
        return True
