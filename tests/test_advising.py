"""`models advise` on a folder of one's own."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from polyseek.cli import models
from polyseek.core.errors import ConfigError


@pytest.mark.slow
def test_advice_measures_and_recommends(tmp_path, monkeypatch):
    from encode.onnx_folder import make

    monkeypatch.setenv("POLYSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "tiny")
    for colour in ("red", "blue", "green", "black", "white"):
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{colour}.png")
        (tmp_path / f"{colour}.txt").write_text(f"a {colour} car")
    told = ["advise", "./tiny", "./gone", "--sample", str(tmp_path), "--json"]
    result = CliRunner().invoke(models.app, told, catch_exceptions=False)
    found = json.loads(result.stdout)
    (measured,) = found["measured"]
    assert measured["name"] == "./tiny"
    assert measured["per_s"]["image"] > 0
    assert 0 <= measured["quality"] <= 1
    assert any("./gone: not measured" in note for note in found["notes"])
    assert "recommended: --encoder ./tiny" in found["notes"][-1]
    assert "pairs of your sample" in found["notes"][-2]


def test_nothing_to_measure(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYSEEK_HOME", str(tmp_path / "home"))
    with pytest.raises(ConfigError, match="no encoder is on this machine"):
        CliRunner().invoke(models.app, ["advise"], catch_exceptions=False)
    with pytest.raises(ConfigError, match="no such folder"):
        CliRunner().invoke(
            models.app, ["advise", "./x", "--sample", str(tmp_path / "no")], catch_exceptions=False
        )
