"""Plug-ins are found by entry point, and an unknown name lists the known ones."""

import pytest

from polyseek.core import plugins
from polyseek.core.errors import UnknownPluginError


def test_built_ins_are_registered_like_everybody_else():
    assert "mini" in plugins.names("encoder")
    assert {"lance", "memory"} <= set(plugins.names("store"))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownPluginError, match="unknown encoder 'maxi'; known: .*mini"):
        plugins.load("encoder", "maxi")


def test_a_role_nobody_fills_says_none():
    assert plugins.names("dish-washer") == []
    with pytest.raises(UnknownPluginError, match="known: none"):
        plugins.load("dish-washer", "any")


@pytest.mark.parametrize(
    "role",
    [
        *("source", "decoder", "segmenter", "encoder", "store"),
        *("text_recogniser", "speech_recogniser"),
    ],
)
def test_every_registered_plug_in_can_be_imported(role):
    for name in plugins.names(role):
        assert callable(plugins.load(role, name))
