"""A tiny ONNX folder, made by hand: colours of pictures and letters of texts in one space."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

DIM = 8

MODEL = """
format = 1
dim = 8
licence = "MIT"

[towers.text]
graph = "text.onnx"
pooling = "mean"
batch_size = 4

[towers.text.text]
max_tokens = 12
pad_id = 0
query = "q "

[towers.image]
graph = "image.onnx"
inputs = { pixel_values = "pixels" }
batch_size = 4

[towers.image.picture]
resize = [4, 4]
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]

[towers.video]
graph = "image.onnx"
inputs = { pixel_values = "pixels" }

[towers.video.picture]
resize = [4, 4]
"""


def make(folder, text=MODEL):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "q", *"a red car two dogs run along the beach word".split()]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", vocabulary["[CLS]"])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    table = rng.normal(size=(len(vocabulary), DIM)).astype(np.float32)
    _graph(
        folder / "text.onnx",
        [helper.make_node("Gather", ["table", "input_ids"], ["hidden"])],
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "tokens"])],
        helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["n", "tokens", DIM]),
        {"table": table},
    )
    weights = rng.normal(size=(48, DIM)).astype(np.float32)
    _graph(
        folder / "image.onnx",
        [
            helper.make_node("Flatten", ["pixels"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weights", "bias"], ["embedding"]),
        ],
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 4, 4])],
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIM]),
        {"weights": weights, "bias": np.ones(DIM, np.float32)},
    )
    (folder / "model.toml").write_text(text)
    return folder


def _graph(path, nodes, inputs, output, constants):
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, [output], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))
