"""BLIP's retrieval models: two towers with projections, beside the head that looks at pairs.

Source: Li et al., BLIP: Bootstrapping Language-Image Pre-training, arXiv 2201.12086: the image-text
contrastive half. The other half, image-text matching, is a reranker.
"""

from __future__ import annotations

from typing import Any

CLASS = "BlipForImageTextRetrieval"
"""The library's name of the architecture, as `config.json` has it."""


def give_features(model: Any) -> Any:
    """The model, with the features methods that the library's other dual encoders have."""

    def text(input_ids: Any, attention_mask: Any) -> Any:
        found = model.text_encoder(input_ids=input_ids, attention_mask=attention_mask)
        return model.text_proj(found.last_hidden_state[:, 0])

    def image(pixel_values: Any) -> Any:
        return model.vision_proj(model.vision_model(pixel_values).last_hidden_state[:, 0])

    model.get_text_features, model.get_image_features = text, image
    return model
