"""Tiny rerankers of pictures with random weights, made by the libraries' own classes."""

import transformers as hf

import tiny_models
from tiny_models import TINY, bert_tokenizer, picture_processor, roberta_tokenizer, saved

PICTURE = {"height": 24, "width": 24}
WORDS = "yes no query document : ?".split()
CHAT = (
    "{% for m in messages %}{{ m.role }} : {% for c in m.content %}"
    "{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %} {% endfor %}{% endfor %}?"
)


def blip(folder):
    tokenizer = bert_tokenizer(folder)
    text = {**TINY, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "pad_token_id": 0,
            "encoder_hidden_size": 32, "bos_token_id": 2, "sep_token_id": 3}  # fmt: skip
    vision = {**TINY, "image_size": 24, "patch_size": 8}
    config = hf.BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=16)
    processor = picture_processor("BlipImageProcessor", size=PICTURE, do_center_crop=None)
    return saved(hf.BlipForImageTextRetrieval(config), folder, processor)


def blip_2(folder):
    tokenizer = bert_tokenizer(folder)
    qformer = {**TINY, "vocab_size": len(tokenizer), "max_position_embeddings": 16,
               "encoder_hidden_size": 32, "use_qformer_text_input": True}  # fmt: skip
    vision = {**TINY, "image_size": 24, "patch_size": 8}
    config = hf.Blip2Config(
        vision_config=vision, qformer_config=qformer, num_query_tokens=3,
        image_text_hidden_size=16, image_token_index=len(tokenizer),
    )  # fmt: skip
    processor = picture_processor("BlipImageProcessor", size=PICTURE, do_center_crop=None)
    model = saved(hf.Blip2ForImageTextRetrieval(config), folder, processor)
    pictures = hf.AutoImageProcessor.from_pretrained(folder)
    hf.Blip2Processor(pictures, tokenizer, num_query_tokens=3).save_pretrained(folder)
    return model


def bridgetower(folder):
    tokenizer = roberta_tokenizer(folder)
    wide = {**TINY, "hidden_size": 64}
    text = {**wide, "vocab_size": len(tokenizer), "max_position_embeddings": 32}
    vision = {"hidden_size": 64, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16}
    config = hf.BridgeTowerConfig(
        text_config=text, vision_config=vision, hidden_size=64, num_hidden_layers=2,
        num_attention_heads=4,
    )  # fmt: skip
    processor = picture_processor(
        "BridgeTowerImageProcessor", size={"shortest_edge": 32}, do_pad=True,
        crop_size={"shortest_edge": 32}, size_divisor=32,
    )  # fmt: skip
    return saved(hf.BridgeTowerForImageAndTextRetrieval(config), folder, processor)


def vilt(folder):
    tokenizer = bert_tokenizer(folder)
    config = hf.ViltConfig(
        **TINY, vocab_size=len(tokenizer), max_position_embeddings=16, image_size=32, patch_size=16,
        max_image_length=-1,
    )  # fmt: skip
    processor = picture_processor(
        "ViltImageProcessor", size={"shortest_edge": 32}, size_divisor=16, do_pad=True,
        do_center_crop=None,
    )  # fmt: skip
    return saved(hf.ViltForImageAndTextRetrieval(config), folder, processor)


HEADS = {made.__name__: made for made in (blip, blip_2, bridgetower, vilt)}
"""Models with an image-text matching head."""


def vision_language(folder):
    """A cross-encoder that asks a vision-language model for yes or no."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = folder / "parts"
    made.mkdir()
    special = ["<pad>", "<unk>", "<s>", "</s>", "<image>"]
    vocab = {w: i for i, w in enumerate(dict.fromkeys([*special, *WORDS, *tiny_models.WORDS]))}
    words = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", bos_token="<s>",
        eos_token="</s>", additional_special_tokens=["<image>"], padding_side="left",
    )  # fmt: skip
    text = hf.LlamaConfig(**TINY, vocab_size=len(vocab), max_position_embeddings=256,
                          pad_token_id=0, bos_token_id=2, eos_token_id=3)  # fmt: skip
    vision = hf.CLIPVisionConfig(**TINY, image_size=24, patch_size=8)
    config = hf.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=vocab["<image>"],
        vision_feature_layer=-1,
    )  # fmt: skip
    saved(hf.LlavaForConditionalGeneration(config), made, picture_processor())
    hf.LlavaProcessor(
        hf.AutoImageProcessor.from_pretrained(made), tokenizer, patch_size=8, chat_template=CHAT,
        vision_feature_select_strategy="default", num_additional_image_tokens=1,
    ).save_pretrained(made)  # fmt: skip
    reader = Transformer(str(made), transformer_task="any-to-any")
    model = CrossEncoder(modules=[reader, LogitScore(vocab["yes"], vocab["no"])], device="cpu")
    model.save_pretrained(str(folder / "model"))
    return model, folder / "model"
