from polyseek.ingest.sources.files import FileSource, local_path
from polyseek.testing.source import SourceConformance


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
