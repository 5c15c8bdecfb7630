"""Cross-encoders: what is missing is named; a real model where the extra is installed."""

import sys

import pytest

from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, MissingExtraError
from polyseek.core.reranking import RerankSetup
from polyseek.search.rerankers.cross_encoder import load
from polyseek.testing.reranker import RerankerConformance

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a red car number of many cars"


@pytest.mark.parametrize("options", [{}, {"model": ""}, {"model": 3}, {"model": "x", "size": 1}])
def test_a_model_must_be_named_and_nothing_else(options):
    with pytest.raises(ConfigError, match=r"\[rerank.cross-encoder\] needs model"):
        load(RerankSetup(options=options))


def test_the_line_that_installs_it_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'polyseek\[rerank\]'"):
        load(RerankSetup(options={"model": "x"}))


@pytest.mark.slow
class TestCrossEncoder(RerankerConformance):
    """A tiny model with random weights, saved to a folder."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        pytest.importorskip("sentence_transformers")
        from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

        (tmp_path / "vocab.txt").write_text("\n".join(WORDS.split()))
        BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = BertConfig(
            vocab_size=len(WORDS.split()), intermediate_size=16, num_labels=1, **sizes
        )
        BertForSequenceClassification(config).save_pretrained(tmp_path)
        self.path = tmp_path

    def make_reranker(self):
        setup = RerankSetup(settings=Settings(offline=True), options={"model": str(self.path)})
        return load(setup)
