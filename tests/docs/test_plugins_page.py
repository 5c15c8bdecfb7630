"""The plug-in shown in the docs passes the suite that the docs promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from polyseek.core import plugins

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_decoder_shown_passes_its_conformance_suite(tmp_path):
    for name, body in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL):
        (tmp_path / name).write_text(body, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_vcards.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 5


def test_every_group_of_entry_points_is_shown():
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for group in re.findall(r'entry-points\."polyseek\.(\w+)"', project):
        assert f".{group}`" in PAGE, group
        assert plugins.names(re.sub("ies$", "y", group).removesuffix("s"))
