"""What servers decode in processes of their own."""

import pytest

from polyseek.core.errors import AssetError
from polyseek.core.types import EncoderInfo, Modality, Tower
from polyseek.encode.files import TowerReader, as_vector
from polyseek.ingest.aside import Read


def test_a_tower_that_is_gone_is_told_without_where_it_was(tmp_path):
    upload = tmp_path / "upload"
    upload.write_bytes(b"1")
    tower = f"{tmp_path / 'secret' / 'tower.py'}:embed"
    reader = TowerReader(modality=Modality.THERMAL, tower=tower, patterns=["*.heat"])
    towers = {Modality.THERMAL: Tower(dim=16, prepare=as_vector, reader=reader)}
    info = EncoderInfo(name="joined", revision="1", dim=16, towers=towers)
    asked = Read(path=upload, name="a.heat", encoder=info)
    with pytest.raises(AssetError, match="cannot be used here; 'polyseek doctor' says why") as told:
        asked.answer()
    assert str(tmp_path) not in str(told.value)
