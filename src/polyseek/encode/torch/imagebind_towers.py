"""ImageBind's towers: six transformers that differ in what they cut a signal into.

Source: Girdhar et al., ImageBind: One Embedding Space To Bind Them All, arXiv 2305.05665. Sizes are
read off the weights; the number of attention heads and the stride over a spectrogram cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

KINDS = ("vision", "text", "audio", "depth", "thermal", "imu")
_EPSILON = 1e-6
_NAMES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"modality_preprocessors\.\w+\.\w+_stem\.proj(?:\.\d+)?\.weight", "cut.weight"),
        (r"modality_preprocessors\.\w+\.\w+_stem\.norm_layer\.(\w+)", r"cut_norm.\1"),
        (r"modality_preprocessors\.\w+\.token_embedding\.weight", "cut.weight"),
        (r"modality_preprocessors\.\w+\.cls_token", "first"),
        (r"modality_preprocessors\.\w+\.(?:pos_embedding_helper\.)?pos_embed", "places"),
        (r"modality_trunks\.\w+\.pre_transformer_layer\.0\.(\w+)", r"norm_before.\1"),
        (r"modality_trunks\.\w+\.(blocks\..+)", r"\1"),
        (r"modality_heads\.\w+\.(?:proj\.)?0\.(\w+)", r"norm.\1"),
        (r"modality_heads\.\w+\.(?:proj\.)?[1-3]\.weight", "out.weight"),
    )
)


def parts_of(weights: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """One tower's weights by our names; of the others only masks and scales are left out."""
    found = {}
    for name, value in weights.items():
        if name.split(".")[1:2] != [kind]:
            continue
        for pattern, ours in _NAMES:
            if match := pattern.fullmatch(name):
                found[match.expand(ours)] = value
    return found


class Attention(nn.Module):  # type: ignore[misc]
    """Self-attention; with `extra`, every token also attends to one that is learned."""

    def __init__(self, dim: int, heads: int, *, extra: bool) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        self.bias_k = nn.Parameter(torch.empty(1, 1, dim)) if extra else None
        self.bias_v = nn.Parameter(torch.empty(1, 1, dim)) if extra else None

    def forward(self, tokens: Any, mask: Any) -> Any:
        """``(n, tokens, dim)`` -> the same shape."""
        n, length, dim = tokens.shape
        projected = functional.linear(tokens, self.in_proj_weight, self.in_proj_bias)
        query, key, value = projected.chunk(3, dim=-1)
        if self.bias_k is not None and self.bias_v is not None:
            key = torch.cat([key, self.bias_k.expand(n, 1, dim)], dim=1)
            value = torch.cat([value, self.bias_v.expand(n, 1, dim)], dim=1)
        query, key, value = (
            each.reshape(n, -1, self.heads, dim // self.heads).transpose(1, 2)
            for each in (query, key, value)
        )
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out_proj(found.transpose(1, 2).reshape(n, length, dim))


class Block(nn.Module):  # type: ignore[misc]
    """Attention and two layers, each added to what came in."""

    def __init__(self, dim: int, hidden: int, heads: int, *, extra: bool) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(dim, eps=_EPSILON)
        self.attn = Attention(dim, heads, extra=extra)
        self.norm_2 = nn.LayerNorm(dim, eps=_EPSILON)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, hidden), "fc2": nn.Linear(hidden, dim)})

    def forward(self, tokens: Any, mask: Any) -> Any:
        """``(n, tokens, dim)`` -> the same shape."""
        tokens = tokens + self.attn(self.norm_1(tokens), mask)
        hidden = functional.gelu(self.mlp["fc1"](self.norm_2(tokens)))
        return tokens + self.mlp["fc2"](hidden)


class Transformer(nn.Module):  # type: ignore[misc]
    """What all towers share: places, blocks, a norm, and the way into the shared space.

    Args:
        parts: The weights by our names; the module takes them as they are.
        heads: Attention heads.
    """

    def __init__(self, parts: Mapping[str, Any], heads: int) -> None:
        super().__init__()
        self.dim = int(parts["places"].shape[-1])
        self.places = nn.Parameter(torch.empty(parts["places"].shape))
        self.norm_before = _norm(self.dim, _EPSILON) if "norm_before.weight" in parts else None
        hidden = int(parts["blocks.0.mlp.fc1.weight"].shape[0])
        extra = "blocks.0.attn.bias_k" in parts
        count = 1 + max(int(name.split(".")[1]) for name in parts if name.startswith("blocks."))
        self.blocks = nn.ModuleList(
            Block(self.dim, hidden, heads, extra=extra) for _ in range(count)
        )
        self.norm = _norm(self.dim, _EPSILON)
        self.out = nn.Linear(self.dim, int(parts["out.weight"].shape[0]), bias=False)

    def through(self, tokens: Any, mask: Any = None) -> Any:
        """``(n, tokens, dim)`` through the blocks."""
        tokens = tokens if self.norm_before is None else self.norm_before(tokens)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return self.norm(tokens)


class TextTower(Transformer):
    """Token ids ``(n, tokens)`` -> ``(n, dim)``: at the token of the highest number, the end."""

    def __init__(self, parts: Mapping[str, Any], heads: int) -> None:
        super().__init__(parts, heads)
        self.cut = nn.Embedding(*parts["cut.weight"].shape)

    def forward(self, ids: Any) -> Any:
        """See the class."""
        length = ids.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=ids.device).triu(1)
        tokens = self.through(self.cut(ids) + self.places[:, :length], ~later)
        return self.out(tokens[torch.arange(ids.shape[0], device=ids.device), ids.argmax(dim=1)])


class PatchTower(Transformer):
    """Patches of a signal, with one token before them that becomes the embedding.

    Shots ``(n, frames, 3, height, width)``, spectrograms and maps ``(n, 1, height, width)`` are cut
    by a convolution, motion ``(n, 6, steps)`` into stretches.

    Args:
        parts: The weights by our names.
        heads: Attention heads.
        stride: From one patch to the next; None for the patch's own size.
    """

    def __init__(self, parts: Mapping[str, Any], heads: int, stride: int | None = None) -> None:
        super().__init__(parts, heads)
        self.first = nn.Parameter(torch.empty(parts["first"].shape))
        self.cut = _cut(tuple(parts["cut.weight"].shape), stride)
        self.cut_norm = _norm(self.dim, 1e-5) if "cut_norm.weight" in parts else None

    def forward(self, signals: Any) -> Any:
        """See the class; ``(n, dim)``."""
        tokens = self._tokens(signals)
        if self.cut_norm is not None:
            tokens = self.cut_norm(tokens)
        first = self.first.expand(signals.shape[0], -1, -1)
        return self.out(self.through(torch.cat([first, tokens], dim=1) + self.places)[:, 0])

    def _tokens(self, signals: Any) -> Any:
        if isinstance(self.cut, nn.Linear):
            n, axes, steps = signals.shape
            stretch = self.cut.in_features // axes
            cut = signals.reshape(n, axes, steps // stretch, stretch).transpose(1, 2)
            return self.cut(cut.reshape(n, steps // stretch, axes * stretch))
        if isinstance(self.cut, nn.Conv3d):
            signals = signals.transpose(1, 2)
        return self.cut(signals).flatten(2).transpose(1, 2)


def tower_of(parts: Mapping[str, Any], heads: int, *, stride: int | None = None) -> Transformer:
    """A tower with its weights.

    Raises:
        KeyError: A weight that tells a size is missing.
        RuntimeError: Another is, or does not fit.
    """
    with torch.device("meta"):  # nothing is drawn at random only to be replaced
        tower = PatchTower(parts, heads, stride) if "first" in parts else TextTower(parts, heads)
    whole = {name: value.to(torch.float32) for name, value in parts.items()}
    tower.load_state_dict(whole, assign=True)
    tower.eval().requires_grad_(requires_grad=False)
    return tower


def _cut(shape: tuple[int, ...], stride: int | None) -> nn.Module:
    out, inside, *sides = shape
    if not sides:
        return nn.Linear(inside, out, bias=False)
    step = tuple(sides) if stride is None else stride
    kind = nn.Conv3d if len(sides) == 3 else nn.Conv2d
    return kind(inside, out, tuple(sides), stride=step, bias=False)


def _norm(dim: int, epsilon: float) -> nn.LayerNorm:
    return nn.LayerNorm(dim, eps=epsilon)
