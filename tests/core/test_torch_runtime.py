"""What models on PyTorch have in common: which files, and what is refused; without PyTorch."""

import json

import pytest

from polyseek.core.errors import MissingExtraError, ModelLoadError
from polyseek.core.torch_runtime import first_line, refuse_code, require, torch_files


def test_the_safe_weights_of_each_folder_and_what_makes_inputs():
    small = ["config.json", "chat_template.jinja", "vocab.txt", "spiece.model", "modules.json"]
    wanted = [*small, "model.safetensors", "2_Dense/pytorch_model.bin", "1_Logit/config.json"]
    others = [
        "pytorch_model.bin", "onnx/model.onnx", "onnx/config.json", "openvino/openvino_model.bin",
        "tf_model.h5", "rust_model.ot", "training_args.bin", "picture.png",
    ]  # fmt: skip
    assert sorted(torch_files([*others, *wanted])) == sorted(wanted)


def test_weights_that_are_not_safe_where_there_are_no_others():
    assert torch_files(["config.json", "pytorch_model.bin"]) == ["config.json", "pytorch_model.bin"]


@pytest.mark.parametrize("place", [".", "0_Transformer"])
def test_code_that_comes_with_a_model_is_refused(tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "config.json").write_text(json.dumps({"model_type": "bert"}))
    refuse_code(tmp_path)
    told = {"model_type": "x", "auto_map": {"AutoModel": "modeling_x.X"}}
    (tmp_path / place / "config.json").write_text(json.dumps(told))
    with pytest.raises(ModelLoadError, match="never run"):
        refuse_code(tmp_path)


def test_the_extra_that_brings_a_package_is_named():
    with pytest.raises(MissingExtraError, match=r"pip install 'polyseek\[rerank\]'"):
        require("no_such_package_anywhere", "a reranker", extra="rerank")


@pytest.mark.parametrize(
    ("error", "says"), [(ValueError("one\ntwo"), "one"), (KeyError(), "KeyError")]
)
def test_what_a_library_says_in_one_line(error, says):
    assert first_line(error) == says
