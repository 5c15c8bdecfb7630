"""The whole examination: odd collections, JSON, the report."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from patients import (
    AUDIO,
    IMAGE,
    TEXT,
    Altered,
    bank_of,
    cloud,
    fake_collection,
    rotated,
    store_of,
    unit,
)

from polyseek.core.types import Role
from polyseek.evaluate.charts import svg
from polyseek.evaluate.diagnosis import Chart, Check, Diagnosis, Verdict, worst
from polyseek.evaluate.doctor import diagnose
from polyseek.evaluate.report import TITLES, page
from polyseek.search.calibrate import Calibrator
from polyseek.testing import FakeEncoder

NAMES = [
    "coverage", "age", "towers", "stored", "norms", "spread", "duplicates", "gap", "hubness",
    "recall", "tuning", "bank",
]  # fmt: skip


def examine(store, *, encoder=None, bank=None):
    return diagnose(
        store,
        location="photos.polyseek",
        encoder=encoder or FakeEncoder(),
        scale=Calibrator(tuning=store.tuning),
        bank=bank,
    )


def test_a_healthy_small_collection():
    encoder = FakeEncoder()
    bank = encoder.encode(TEXT, ["red", "a blue car", "the green sea", "rain"], role=Role.QUERY)
    found = examine(fake_collection(), bank=bank)
    assert [check.name for check in found] == NAMES
    assert set(TITLES) == set(NAMES)
    unhealthy = {check.name for check in found if check.verdict is not Verdict.OK}
    assert unhealthy == {"tuning"}  # nothing ships with the fake encoder
    assert "1 warning" in found.headline
    assert found["norms"].verdict is Verdict.OK
    with pytest.raises(KeyError):
        found["nonsense"]


SAME = np.tile(unit([[1.0, *[0.0] * 6]]), (60, 1))


@pytest.mark.parametrize(
    "vectors",
    [
        {},
        {IMAGE: cloud(1, dim=7)},
        {IMAGE: cloud(10, dim=7), AUDIO: cloud(10, seed=1, dim=7)},
        {IMAGE: cloud(80, dim=7)},
        {IMAGE: SAME, TEXT: SAME},
        {IMAGE: SAME[:2], TEXT: cloud(2, dim=7), AUDIO: SAME[:1]},
        {IMAGE: np.zeros((12, 7), np.float32)},
    ],
    ids=["empty", "one", "ten each", "one modality", "all the same", "a few", "zeros"],
)
@pytest.mark.parametrize("bank", [None, bank_of(cloud(1, dim=7)), bank_of(SAME)])
def test_odd_collections_give_figures_and_no_nan(vectors, bank):
    found = examine(store_of(vectors, dim=7), bank=bank)
    json.dumps(found.to_dict(), allow_nan=False)
    assert [check.name for check in found] == NAMES
    assert "nan" not in page(found).split("</style>")[1].lower()


def test_an_encoder_that_makes_no_numbers_is_found_without_a_crash():
    encoder = Altered(lambda rows: rows * np.float32(np.nan))
    bank = encoder.encode(TEXT, ["a", "b"], role=Role.QUERY)
    found = examine(fake_collection(), encoder=encoder, bank=bank)
    assert found.verdict is Verdict.FAILURE
    json.dumps(found.to_dict(), allow_nan=False)


def test_mismatched_towers_make_the_whole_unhealthy():
    found = examine(fake_collection(), encoder=Altered(rotated))
    assert found.verdict is Verdict.FAILURE
    assert found["towers"].verdict is Verdict.FAILURE


def test_progress_names_every_check():
    seen = []
    diagnose(
        store_of({}),
        location="x",
        encoder=FakeEncoder(),
        scale=Calibrator(),
        bank=None,
        progress=seen.append,
    )
    assert [step.done for step in seen] == list(range(len(NAMES)))
    assert {step.stage for step in seen} == {"doctor"}


def test_the_worst_verdict_counts():
    assert worst([]) is Verdict.OK
    assert worst([Verdict.WARNING, Verdict.FAILURE, Verdict.OK]) is Verdict.FAILURE


NASTY = "<script>alert('x')</script>\udcff"


def nasty():
    check = Check(
        name="hubness",
        verdict=Verdict.FAILURE,
        summary=NASTY,
        notes=[NASTY],
        advice=NASTY,
        figures={NASTY: {"a": NASTY, "b": [1, 2.5, None, True]}, "t": [{"uri": NASTY}]},
        charts=[Chart(title=NASTY, labels=[NASTY, "b"], series={NASTY: [1.0, 0.0], "s": [0, 0]})],
    )
    return Diagnosis(location=NASTY, encoder=NASTY, checks=[check], elapsed_s=1.0)


def test_the_report_is_self_contained_and_escapes_everything():
    html = page(nasty())
    html.encode()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"""(src|href)=(?!"data:)|https?://|@import|url\(""", html)
    assert "prefers-color-scheme:dark" in html
    assert html.index("1 checks: 1 failure") < html.index("<section")


def test_charts_are_well_formed_and_take_any_height():
    chart = Chart(title="a & b", labels=["x", "y"], series={"one": [0, 0], "two": [3, 1200]})
    figure = svg(chart)
    drawn = ET.fromstring(re.search("<svg.*</svg>", figure)[0])
    bars = [e for e in drawn if e.tag == "rect"]
    assert len(bars) == 4
    assert [float(bar.get("height")) > 0 for bar in bars] == [False, True, False, True]
    assert "1,200" in figure
    ET.fromstring(re.search("<svg.*</svg>", svg(replace(chart, labels=[], series={})))[0])
