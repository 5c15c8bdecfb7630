import struct

import numpy as np
import pytest

from polyseek.core.errors import ModelLoadError
from polyseek.encode.use import UseTower, _layer_norm, _windows, tokenizer_of

PIECES = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁", -5.0), ("▁dog", -2.0), ("s", -3.0)]


def field(number, payload):
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def sentencepiece_model():
    pieces = b"".join(
        field(1, field(1, text.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", score))
        for text, score in PIECES
    )
    empty_map = struct.pack("<I", 1024) + bytes(1024) + b"\0"  # a trie without a single entry
    unrelated = bytes([4 << 3]) + varint(300)
    return pieces + field(3, field(2, empty_map)) + unrelated


def test_pieces_are_read_from_a_sentencepiece_model():
    tokenizer = tokenizer_of(sentencepiece_model())
    assert tokenizer.encode("dogs").ids == [4, 5]
    assert tokenizer.encode("  dog \n dog ").ids == [4, 4]


def test_long_texts_are_cut():
    assert len(tokenizer_of(sentencepiece_model()).encode("dog " * 1000).ids) == 256


def test_windows_hold_the_neighbours_and_zeros_beyond_the_ends():
    rows = np.array([[1.0], [2.0], [3.0]], np.float32)
    assert _windows(rows, 2, 0).tolist() == [[1, 2], [2, 3], [3, 0]]
    assert _windows(rows, 5, 2).tolist() == [[0, 0, 1, 2, 3], [0, 1, 2, 3, 0], [1, 2, 3, 0, 0]]


def test_layer_norm_has_mean_beta_and_spread_gamma():
    rows = np.random.default_rng(0).normal(3, 7, size=(4, 64)).astype(np.float32)
    found = _layer_norm(rows, np.full(64, 2, np.float32), np.full(64, 5, np.float32), 1e-6)
    np.testing.assert_allclose(found.mean(axis=1), 5, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=1), 2, atol=1e-4)


@pytest.mark.parametrize("content", [b"", b"not a zip archive"])
def test_damaged_files_are_named(tmp_path, content):
    broken = tmp_path / "weights.npz"
    broken.write_bytes(content)
    pieces = tmp_path / "sp.model"
    pieces.write_bytes(sentencepiece_model())
    with pytest.raises(ModelLoadError, match=r"weights\.npz: not readable as weights"):
        UseTower(lambda: broken, lambda: pieces).encode(["dog"])
    pieces.write_bytes(b"\xff\xff")  # a field that never ends
    with pytest.raises(ModelLoadError, match=r"sp\.model: not readable as a tokenizer"):
        UseTower(lambda: broken, lambda: pieces).encode(["dog"])
