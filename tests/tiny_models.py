"""Tiny models with random weights, made by the library's own classes, in the hub's layout."""

import json
import shutil

import torch
import transformers as hf

TINY = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
WORDS = "a red car two dogs run along the beach in evening sun and third one sleeps word".split()


def bytes_of_bpe():
    """The 256 characters that byte-level BPE writes bytes with."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def clip_tokenizer(folder, *, length=16):
    letters = bytes_of_bpe()
    tokens = [*letters, *(c + "</w>" for c in letters), "re", "red</w>"]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: i for i, token in enumerate(tokens)}
    made = hf.CLIPTokenizer(vocab, [("r", "e"), ("re", "d</w>")], model_max_length=length)
    made.save_pretrained(folder)
    return made


def roberta_tokenizer(folder, *, length=30):
    vocab = {
        t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", *bytes_of_bpe(), "<mask>"])
    }
    made = hf.RobertaTokenizer(vocab, [], model_max_length=length)
    made.save_pretrained(folder)
    return made


def bert_tokenizer(folder, *, length=16):
    letters = [chr(c) for c in range(97, 123)] + list("0123456789东京红车狗")
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *("##" + c for c in letters),
        *WORDS,
    ]
    vocab = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
    made = hf.BertTokenizer(vocab, model_max_length=length)
    made.save_pretrained(folder)
    return made


def siglip_tokenizer(folder, *, length=16):
    import sentencepiece

    corpus = folder / "corpus.txt"
    corpus.write_text(
        "\n".join([" ".join(WORDS), "größe 東京 a b c d e f g h i j k l m n o p"] * 20)
    )
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "spiece"), vocab_size=45, pad_id=-1, bos_id=-1,
        minloglevel=2,
    )  # fmt: skip
    made = hf.SiglipTokenizer(str(folder / "spiece.model"), model_max_length=length)
    made.save_pretrained(folder)
    return made


def siglip2_tokenizer(folder, *, length=16):
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = [chr(c) for c in range(97, 123)] + ["▁", "東"] + [f"<0x{i:02X}>" for i in range(256)]
    vocab = {t: i for i, t in enumerate([*special, *letters])}
    made = hf.Siglip2Tokenizer(vocab, [], model_max_length=length, padding_side="right")
    made.save_pretrained(folder)
    return made


def saved(model, folder, processor=None):
    torch.manual_seed(0)
    # Random weights at their usual scale give towers that tell nothing apart.
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)
    model.eval().save_pretrained(folder)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model


def picture_processor(kind="CLIPImageProcessor", **more):
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    return {
        "image_processor_type": kind, "do_resize": True, "size": {"shortest_edge": 24}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": 24, "width": 24}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": mean, "image_std": std, **more,
    }  # fmt: skip


def clip(folder):
    tokenizer = clip_tokenizer(folder)
    text = {**TINY, "vocab_size": len(tokenizer), "max_position_embeddings": 16,
            "eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}  # fmt: skip
    vision = {**TINY, "image_size": 24, "patch_size": 8}
    config = hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)
    return saved(hf.CLIPModel(config), folder, picture_processor())


def siglip(folder):
    tokenizer = siglip_tokenizer(folder)
    text = {
        **TINY,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 16,
        "projection_size": 32,
    }
    vision = {**TINY, "image_size": 24, "patch_size": 8}
    config = hf.SiglipConfig(text_config=text, vision_config=vision)
    half = [0.5] * 3
    processor = picture_processor(
        "SiglipImageProcessor", size={"height": 24, "width": 24}, do_center_crop=None,
        crop_size=None, image_mean=half, image_std=half,
    )  # fmt: skip
    return saved(hf.SiglipModel(config), folder, processor)


def siglip2(folder):
    tokenizer = siglip2_tokenizer(folder)
    text = {
        **TINY,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 16,
        "projection_size": 32,
    }
    vision = {**TINY, "patch_size": 8, "num_patches": 16}
    config = hf.Siglip2Config(text_config=text, vision_config=vision)
    processor = {
        "image_processor_type": "Siglip2ImageProcessor",
        "patch_size": 8,
        "max_num_patches": 16,
    }
    return saved(hf.Siglip2Model(config), folder, processor)


def clap(folder, *, fusion=False):
    tokenizer = roberta_tokenizer(folder)
    text = {**TINY, "vocab_size": len(tokenizer), "max_position_embeddings": 32, "pad_token_id": 1}
    audio = {
        "spec_size": 64, "num_mel_bins": 16, "window_size": 4, "patch_size": 4, "patch_stride": [4, 4],
        "patch_embeds_hidden_size": 16, "hidden_size": 32, "depths": [1, 1], "num_attention_heads": [2, 2],
        "num_hidden_layers": 2, "enable_fusion": fusion, "enable_patch_layer_norm": True, "num_classes": 5,
    }  # fmt: skip
    config = hf.ClapConfig(text_config=text, audio_config=audio, projection_dim=20)
    processor = hf.ClapFeatureExtractor(
        feature_size=16, sampling_rate=16_000, hop_length=160, max_length_s=2, fft_window_size=512,
        frequency_min=50, frequency_max=7000, truncation="fusion" if fusion else "rand_trunc",
    )  # fmt: skip
    return saved(hf.ClapModel(config), folder, processor.to_dict())


def clap_fused(folder):
    return clap(folder, fusion=True)


def chinese_clip(folder):
    tokenizer = bert_tokenizer(folder)
    text = {**TINY, "vocab_size": len(tokenizer), "max_position_embeddings": 16}
    vision = {**TINY, "image_size": 24, "patch_size": 8}
    config = hf.ChineseCLIPConfig(text_config=text, vision_config=vision, projection_dim=20)
    processor = picture_processor(
        "ChineseCLIPImageProcessor", size={"height": 24, "width": 24}, do_center_crop=False
    )
    return saved(hf.ChineseCLIPModel(config), folder, processor)


def align(folder):
    tokenizer = bert_tokenizer(folder)
    text = {**TINY, "vocab_size": len(tokenizer), "max_position_embeddings": 16}
    vision = {
        "image_size": 48, "width_coefficient": 0.25, "depth_coefficient": 0.2, "hidden_dim": 24,
        "kernel_sizes": [3, 3, 5], "in_channels": [32, 16, 24], "out_channels": [16, 24, 40],
        "depthwise_padding": [], "strides": [1, 2, 2], "num_block_repeats": [1, 1, 1],
        "expand_ratios": [1, 6, 6],
    }  # fmt: skip
    config = hf.AlignConfig(text_config=text, vision_config=vision, projection_dim=16)
    processor = picture_processor(
        "EfficientNetImageProcessor", size={"height": 52, "width": 52}, resample=2, rescale_offset=True,
        crop_size={"height": 48, "width": 48}, include_top=True, rescale_factor=1 / 127.5,
    )  # fmt: skip
    return saved(hf.AlignModel(config), folder, processor)


def x_clip(folder):
    tokenizer = clip_tokenizer(folder)
    text = {**TINY, "vocab_size": len(tokenizer), "max_position_embeddings": 16,
            "eos_token_id": tokenizer.eos_token_id}  # fmt: skip
    vision = {**TINY, "image_size": 24, "patch_size": 8, "num_frames": 4, "mit_hidden_size": 20,
              "mit_intermediate_size": 32, "mit_num_attention_heads": 4, "mit_num_hidden_layers": 1}  # fmt: skip
    config = hf.XCLIPConfig(text_config=text, vision_config=vision, projection_dim=20)
    return saved(hf.XCLIPModel(config), folder, picture_processor("VideoMAEImageProcessor"))


def sentences(folder, prompts):
    """A sentence-transformers model of texts."""
    import sentence_transformers
    from sentence_transformers.sentence_transformer import modules

    bare = folder / "bare"
    bare.mkdir(parents=True)
    tokenizer = bert_tokenizer(bare)
    config = hf.BertConfig(**TINY, vocab_size=len(tokenizer), max_position_embeddings=32)
    saved(hf.BertModel(config), bare)
    transformer = modules.Transformer(str(bare), max_seq_length=16)
    pooling = modules.Pooling(transformer.get_embedding_dimension(), "mean")
    sentence_transformers.SentenceTransformer(
        modules=[transformer, pooling], prompts=prompts, device="cpu"
    ).save(str(folder))
    shutil.rmtree(bare)


FAMILIES = {
    made.__name__: made
    for made in (clip, siglip, siglip2, clap, clap_fused, chinese_clip, align, x_clip)
}
