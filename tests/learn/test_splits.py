"""Parts of labelled queries that share nothing."""

import numpy as np
import pytest

from polyseek.core.errors import ConfigError
from polyseek.learn.splits import CHOOSE, FIT, HELD_OUT, components, given_split, split


def test_what_shares_a_member_hangs_together_however_far():
    groups = components([["a", "b"], ["b", "c"], ["d"], ["c"], ["e", "f"], ["f"]])
    assert len(set(groups[[0, 1, 3]])) == 1
    assert groups[4] == groups[5]
    assert len(set(groups.tolist())) == 3


def test_groups_stay_together_in_shares_of_the_queries():
    groups = np.repeat(np.arange(200), 5)
    found = split(groups)
    assert all(len(set(found.part[groups == g])) == 1 for g in range(200))
    shares = [len(found.rows(part)) / 1000 for part in (FIT, CHOOSE, HELD_OUT)]
    assert shares == pytest.approx([0.4, 0.3, 0.3], abs=0.02)
    assert (split(groups).part == found.part).all()


def test_no_split_keeps_apart_what_hangs_together():
    assert split(np.array([0] * 60 + list(range(1, 41)))) is None


def test_a_given_split_is_checked_for_leaks():
    names = ["train", "train", "val", "test", "test", "test"]
    groups = components([["a"], ["b"], ["c"], ["a"], ["d"], ["c"]])
    found = given_split(names, groups)
    assert found.part.tolist() == [FIT, FIT, CHOOSE, -1, HELD_OUT, -1]
    assert found.note.startswith("the given split leaks: 2 queries share an asset")
    clean = given_split(["train", "dev", "Test"], components(["a", "b", "c"]))
    assert clean.note == ""


@pytest.mark.parametrize(
    ("names", "members", "message"),
    [
        (["train", "val", "nope"], "abc", "has 'nope'; expected one of train"),
        (["train", "train", "test"], "abc", "no query for validation; leave the column out"),
        (["train", "val", "test"], "aba", r"no query for test \(1 leak from another part\)"),
    ],
)
def test_a_given_split_that_is_none(names, members, message):
    with pytest.raises(ConfigError, match=message):
        given_split(names, components(list(members)))
