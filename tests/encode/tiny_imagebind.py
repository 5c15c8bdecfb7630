"""A tiny ImageBind of random weights in the published checkpoint's layout, and what it computes.

`forward` is written from the paper with PyTorch's own attention, apart from polyseek's towers.
"""

import json

import torch
from torch.nn import functional

import tiny_models

DIM, BLOCKS, OUT = 16, 2, 12
HEADS = {"vision": 4, "text": 4, "audio": 2, "depth": 4, "thermal": 2, "imu": 4}
PICTURE, PATCH, MAP_PATCH = 28, 7, 7
BANDS, FRAMES, WINDOW, STRIDE = 20, 32, 8, 6
STEPS, STRETCH = 64, 8
TOKENS = 20
CONFIG = {
    **{f"{kind}_num_heads": heads for kind, heads in HEADS.items()},
    "audio_num_mel_bins": BANDS,
    "audio_target_len": FRAMES,
    "audio_stride": STRIDE,
}


def imagebind(folder, *, vocabulary=None):
    """The folder as `imagebind_huge.pth` would lie in it; the weights by name."""
    words = vocabulary or len(tiny_models.clip_tokenizer(folder, length=TOKENS))
    for path in folder.iterdir():
        if path.name != "tokenizer.json":
            path.unlink()
    torch.manual_seed(0)
    weights = {name: torch.randn(shape) * 0.2 for name, shape in shapes(words).items()}
    for name, value in weights.items():  # norms near what they are trained to
        if ("norm" in name or "_heads" in name or "layer.0" in name) and value.ndim == 1:
            value.add_(1.0 if name.endswith("weight") else 0.0)
    weights["modality_preprocessors.text.mask"] = torch.full((TOKENS, TOKENS), -torch.inf).triu(1)
    for kind in ("text", "audio", "depth", "thermal", "imu"):
        weights[f"modality_postprocessors.{kind}.1.log_logit_scale"] = torch.tensor(2.0)
    torch.save(weights, folder / "imagebind_tiny.pth")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return weights


def shapes(words):
    found = {}
    patches = {
        "vision": (PICTURE // PATCH) ** 2,
        "audio": ((BANDS - WINDOW) // STRIDE + 1) * ((FRAMES - WINDOW) // STRIDE + 1),
        "depth": (PICTURE // MAP_PATCH) ** 2,
        "thermal": (PICTURE // MAP_PATCH) ** 2,
        "imu": STEPS // STRETCH,
    }
    stems = {
        "vision": ("rgbt_stem.proj.1.weight", (DIM, 3, 2, PATCH, PATCH)),
        "audio": ("rgbt_stem.proj.weight", (DIM, 1, WINDOW, WINDOW)),
        "depth": ("depth_stem.proj.weight", (DIM, 1, MAP_PATCH, MAP_PATCH)),
        "thermal": ("rgbt_stem.proj.weight", (DIM, 1, MAP_PATCH, MAP_PATCH)),
        "imu": ("imu_stem.proj.weight", (DIM, 6 * STRETCH)),
    }
    for kind, count in patches.items():
        start = f"modality_preprocessors.{kind}."
        stem, shape = stems[kind]
        found[start + stem] = shape
        if kind != "vision":
            norm = stem.split(".")[0] + ".norm_layer."
            found |= {start + norm + part: (DIM,) for part in ("weight", "bias")}
        found[start + "cls_token"] = (1, 1, DIM)
        helper = "" if kind == "imu" else "pos_embedding_helper."
        found[f"{start}{helper}pos_embed"] = (1, 1 + count, DIM)
    found["modality_preprocessors.text.token_embedding.weight"] = (words, DIM)
    found["modality_preprocessors.text.pos_embed"] = (1, TOKENS, DIM)
    for kind in HEADS:
        trunk, head = f"modality_trunks.{kind}.", f"modality_heads.{kind}."
        if kind == "vision":
            found |= {f"{trunk}pre_transformer_layer.0.{p}": (DIM,) for p in ("weight", "bias")}
        for i in range(BLOCKS):
            found |= block(f"{trunk}blocks.{i}.", extra=kind not in ("vision", "text"))
        head += "proj." if kind == "text" else ""
        found |= {f"{head}0.{part}": (DIM,) for part in ("weight", "bias")}
        last = {"text": 1, "imu": 3}.get(kind, 2)
        found[f"{head}{last}.weight"] = (OUT, DIM)
    return found


def block(start, *, extra):
    found = {
        "attn.in_proj_weight": (3 * DIM, DIM), "attn.in_proj_bias": (3 * DIM,),
        "attn.out_proj.weight": (DIM, DIM), "attn.out_proj.bias": (DIM,),
        "mlp.fc1.weight": (4 * DIM, DIM), "mlp.fc1.bias": (4 * DIM,),
        "mlp.fc2.weight": (DIM, 4 * DIM), "mlp.fc2.bias": (DIM,),
    }  # fmt: skip
    found |= {f"norm_{i}.{part}": (DIM,) for i in (1, 2) for part in ("weight", "bias")}
    if extra:
        found |= {"attn.bias_k": (1, 1, DIM), "attn.bias_v": (1, 1, DIM)}
    return {start + name: shape for name, shape in found.items()}


@torch.no_grad()
def forward(weights, kind, signal):
    """``(n, OUT)`` unit rows of one tower."""
    at = {n: w for n, w in weights.items() if n.split(".")[1] == kind}

    def one(ending):
        return next(w for n, w in at.items() if n.endswith(ending))

    def norm(tokens, name, eps=1e-6):
        return functional.layer_norm(
            tokens, tokens.shape[-1:], at[name + ".weight"], at[name + ".bias"], eps
        )

    places = one("pos_embed")
    if kind == "text":
        tokens = one("token_embedding.weight")[signal] + places[:, : signal.shape[1]]
        mask = torch.full((signal.shape[1],) * 2, -torch.inf).triu(1)
    else:
        mask = None
        cut = one("proj.1.weight" if kind == "vision" else "proj.weight")
        if kind == "imu":
            stretches = signal.unfold(-1, STRETCH, STRETCH).permute(0, 2, 1, 3).flatten(2)
            tokens = stretches @ cut.T
        elif kind == "vision":
            tokens = functional.conv3d(signal, cut, stride=cut.shape[2:]).flatten(2).mT
        else:
            stride = STRIDE if kind == "audio" else MAP_PATCH
            tokens = functional.conv2d(signal, cut, stride=stride).flatten(2).mT
        if kind != "vision":
            stem = next(n for n in at if n.endswith("norm_layer.weight")).removesuffix(".weight")
            tokens = norm(tokens, stem, 1e-5)
        tokens = torch.cat([one("cls_token").expand(len(tokens), -1, -1), tokens], 1) + places
    trunk = f"modality_trunks.{kind}."
    if kind == "vision":
        tokens = norm(tokens, trunk + "pre_transformer_layer.0")
    for i in range(BLOCKS):
        name = f"{trunk}blocks.{i}."
        attention = torch.nn.MultiheadAttention(
            DIM, HEADS[kind], add_bias_kv=name + "attn.bias_k" in at, batch_first=True
        )
        start = name + "attn."
        attention.load_state_dict(
            {n.removeprefix(start): w for n, w in at.items() if n.startswith(start)}
        )
        inside = norm(tokens, name + "norm_1")
        tokens = tokens + attention(inside, inside, inside, attn_mask=mask)[0]
        hidden = functional.linear(
            norm(tokens, name + "norm_2"), at[name + "mlp.fc1.weight"], at[name + "mlp.fc1.bias"]
        )
        tokens = tokens + functional.linear(
            functional.gelu(hidden), at[name + "mlp.fc2.weight"], at[name + "mlp.fc2.bias"]
        )
    head = f"modality_heads.{kind}." + ("proj." if kind == "text" else "")
    tokens = norm(tokens, head + "0")
    rows = tokens[torch.arange(len(tokens)), signal.argmax(1)] if kind == "text" else tokens[:, 0]
    last = next(w for n, w in at.items() if n.startswith(head) and w.shape == (OUT, DIM))
    return functional.normalize(rows @ last.T, dim=-1).numpy()
