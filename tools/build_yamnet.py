"""Build the ONNX graph of mini's audio tower (YAMNet), whose weights stay in their pinned file.

    pip install onnx
    python tools/build_yamnet.py TENSORS_JSON --out src/polyseek/encode/data/yamnet.onnx

The graph holds the front end (16 kHz mono waveform -> log-mel patches), the wiring of the network
and, for every weight, an offset into the raw little-endian float32 file that TensorFlow's
checkpoint is (`variables.data-00000-of-00001`; TENSORS_JSON gives offset and shape of each tensor).
So the package ships 1 MB instead of 15 MB, and the weights are the published ones, bit for bit.

Network: M. Plakal, D. Ellis, YAMNet (Apache-2.0), github.com/tensorflow/models, audioset/yamnet.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WEIGHTS_FILE = "variables.data-00000-of-00001"
SAMPLE_RATE_HZ, WINDOW, HOP, FFT = 16_000, 400, 160, 512
MEL_BANDS, MEL_LOW_HZ, MEL_HIGH_HZ, LOG_OFFSET = 64, 125.0, 7500.0, 0.001
PATCH_FRAMES, PATCH_HOP = 96, 48
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
BATCH_NORM_EPSILON = 1e-4


class Graph:
    """Nodes and initialisers as they are added."""

    def __init__(self, tensors: dict[str, Any]) -> None:
        self.tensors = tensors
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self._layer = -1

    def node(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Add a node with one output, which has the node's name."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        """Add an initialiser that lies in the graph."""
        self.initialisers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, part: str) -> str:
        """Add an initialiser that lies in the weights file."""
        name = f"layer_with_weights-{self._layer}/{part}"
        where = self.tensors[name]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=where["shape"])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", WEIGHTS_FILE),
            ("offset", where["offset"]),
            ("length", where["bytes"]),
        ):
            tensor.external_data.add(key=key, value=str(value))
        self.initialisers.append(tensor)
        return name

    def next_layer(self) -> None:
        """Weights are numbered in the order of the layers."""
        self._layer += 1

    def convolution(self, x: str, *, part: str, stride: int, group: int) -> str:
        """Convolution with TensorFlow's SAME padding, batch normalisation, ReLU."""
        self.next_layer()
        depthwise = part == "depthwise_kernel"
        layer = f"conv{self._layer}"
        kernel = self.node(
            "Transpose",
            self.weight(part),
            name=f"{layer}_kernel",
            perm=[2, 3, 0, 1] if depthwise else [3, 2, 0, 1],
        )
        shape = self.tensors[f"layer_with_weights-{self._layer}/{part}"]["shape"]
        channels = shape[2] if depthwise else shape[3]
        y = self.node(
            "Conv",
            x,
            kernel,
            name=layer,
            auto_pad="SAME_UPPER",
            kernel_shape=shape[:2],
            strides=[stride, stride],
            group=group,
        )
        self.next_layer()
        one = self.constant(f"{layer}_one", np.ones(channels, np.float32))
        normal = self.node(
            "BatchNormalization",
            y,
            one,
            self.weight("beta"),
            self.weight("moving_mean"),
            self.weight("moving_variance"),
            name=f"{layer}_norm",
            epsilon=BATCH_NORM_EPSILON,
        )
        return self.node("Relu", normal, name=f"{layer}_relu")


def fourier() -> NDArray[np.float32]:
    """``(514, 1, 400)`` cosines and sines of a 512-point DFT under a periodic Hann window."""
    n, k = np.arange(WINDOW), np.arange(FFT // 2 + 1)[:, None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)
    angle = 2 * np.pi * k * n / FFT
    kernels = np.concatenate([np.cos(angle), -np.sin(angle)]) * window
    return kernels[:, None].astype(np.float32)


def mel_matrix() -> NDArray[np.float32]:
    """``(257, 64)`` HTK mel filters, triangles in mel."""

    def mel(hertz: Any) -> Any:
        return 1127 * np.log1p(np.asarray(hertz) / 700)

    edges = np.linspace(mel(MEL_LOW_HZ), mel(MEL_HIGH_HZ), MEL_BANDS + 2)
    bins = mel(np.linspace(0, SAMPLE_RATE_HZ / 2, FFT // 2 + 1))[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    up, down = (bins - low) / (centre - low), (high - bins) / (high - centre)
    filters = np.maximum(0, np.minimum(up, down))
    filters[0] = 0
    matrix: NDArray[np.float32] = filters.astype(np.float32)
    return matrix


def front_end(graph: Graph) -> str:
    """Waveform ``(samples,)`` -> log-mel patches ``(patches, 1, 96, 64)``."""
    axes = graph.constant("first_axes", np.array([0, 1]))
    framed = graph.node("Unsqueeze", "waveform", axes, name="wave")
    dft = graph.node(
        "Conv", framed, graph.constant("dft_kernel", fourier()), name="dft", strides=[HOP]
    )
    squared = graph.node("Mul", dft, dft, name="squared")
    parts = graph.constant("parts", np.array([1, 2, FFT // 2 + 1, -1]))
    split = graph.node("Reshape", squared, parts, name="real_imaginary")
    one = graph.constant("axis_one", np.array([1]))
    power = graph.node("ReduceSum", split, one, name="power", keepdims=0)
    magnitude = graph.node("Sqrt", power, name="magnitude")
    frames = graph.node("Transpose", magnitude, name="frames", perm=[0, 2, 1])
    mels = graph.node("MatMul", frames, graph.constant("mel", mel_matrix()), name="mels")
    offset = graph.constant("log_offset", np.float32(LOG_OFFSET))
    log = graph.node("Log", graph.node("Add", mels, offset, name="above_zero"), name="log_mel")
    zero = graph.constant("axis_zero", np.array([0]))
    flat = graph.node("Squeeze", log, zero, name="log_mel_frames")
    length = graph.node("Shape", flat, name="length", start=0, end=1)
    last = graph.node(
        "Sub", length, graph.constant("patch", np.array([PATCH_FRAMES - 1])), name="last"
    )
    starts = graph.node(
        "Range",
        graph.constant("from", np.int64(0)),
        graph.node("Squeeze", last, zero, name="until"),
        graph.constant("hop", np.int64(PATCH_HOP)),
        name="starts",
    )
    column = graph.node("Unsqueeze", starts, one, name="starts_column")
    within = graph.constant("within", np.arange(PATCH_FRAMES))
    rows = graph.node("Add", column, within, name="patch_rows")
    patches = graph.node("Gather", flat, rows, name="gathered", axis=0)
    return graph.node("Unsqueeze", patches, one, name="patches")


def network(graph: Graph, patches: str) -> None:
    """Patches -> `embeddings` ``(patches, 1024)`` and `scores` ``(patches, 521)``."""
    x = graph.convolution(patches, part="kernel", stride=2, group=1)
    channels = 32
    for stride in STRIDES:
        x = graph.convolution(x, part="depthwise_kernel", stride=stride, group=channels)
        x = graph.convolution(x, part="kernel", stride=1, group=1)
        channels = graph.tensors[f"layer_with_weights-{graph._layer - 1}/kernel"]["shape"][3]
    pooled = graph.node("GlobalAveragePool", x, name="pooled")
    graph.node("Flatten", pooled, name="embeddings")
    graph.next_layer()
    logits = graph.node(
        "Gemm", "embeddings", graph.weight("kernel"), graph.weight("bias"), name="logits"
    )
    graph.node("Sigmoid", logits, name="scores")


def build(tensors: dict[str, Any]) -> Any:
    """The whole model."""
    graph = Graph(tensors)
    network(graph, front_end(graph))
    waveform = helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["samples"])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["patches", size])
        for name, size in (("embeddings", 1024), ("scores", 521))
    ]
    patches: list[str | int | None] = ["patches", 1, PATCH_FRAMES, MEL_BANDS]
    outputs.append(helper.make_tensor_value_info("patches", TensorProto.FLOAT, patches))
    made = helper.make_graph(graph.nodes, "yamnet", [waveform], outputs, graph.initialisers)
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="polyseek"
    )


def main() -> None:
    """Build, check, write."""
    parser = argparse.ArgumentParser(description="Build the audio tower's graph")
    parser.add_argument("tensors", type=Path, help="JSON: tensor name -> offset, bytes, shape")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = build(json.loads(options.tensors.read_text(encoding="utf-8")))
    options.out.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, {len(model.graph.node)} nodes")


if __name__ == "__main__":
    main()
