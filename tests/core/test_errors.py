"""The error tree: what is collected, what crosses a process border, what has an exit code."""

import inspect
import pickle

import pytest

from polyseek.cli import exits
from polyseek.core import errors
from polyseek.core.errors import AssetError, DecodeError, PolyseekError, UnsupportedMediaError

ALL = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", [AssetError, UnsupportedMediaError, DecodeError])
def test_an_asset_error_survives_the_border_of_a_worker(kind):
    back = pickle.loads(pickle.dumps(kind("file:///a.jpg", "is broken")))
    assert type(back) is kind
    assert (back.uri, back.reason, back.status) == ("file:///a.jpg", "is broken", kind.status)
    assert str(back) == "file:///a.jpg: is broken"


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_a_polyseek_error_and_is_drawn_in_the_tree(kind):
    assert issubclass(kind, PolyseekError)
    assert kind.__name__ in errors.__doc__


def test_the_most_exact_class_decides_the_exit_code():
    codes = {kind: exits.TABLE.get(kind) for kind in ALL}
    assert codes[errors.ChecksumError] == 42
    assert exits.code_of(errors.ChecksumError("x")) == 42
    assert exits.code_of(errors.DimensionError("x")) == codes[errors.EncoderError]
    assert len(set(exits.TABLE.values())) == len(exits.TABLE)


@pytest.mark.parametrize("kind", exits.TABLE)
def test_no_entry_of_the_exit_table_hides_behind_its_parent(kind):
    first = next(k for k in exits.TABLE if issubclass(kind, k))
    assert first is kind


def test_messages_say_what_to_do():
    assert str(errors.MissingExtraError("hf-hub: sources", "hub")).endswith(
        "pip install 'polyseek[hub]'"
    )
    assert "known: a, b" in str(errors.UnknownPluginError("store", "c", ["b", "a"]))
