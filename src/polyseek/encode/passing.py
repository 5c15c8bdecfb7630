"""Wrappers of an encoder that can what the encoder within can, and no more."""

from __future__ import annotations

from typing import Protocol, TypeVar

from polyseek.core.protocols import Encoder, PatchEncoder, SoundPatchEncoder
from polyseek.core.types import Floats, Signal

W = TypeVar("W")


class _AroundPatches(Protocol):
    plain: PatchEncoder


class _AroundSoundPatches(Protocol):
    plain: SoundPatchEncoder


class PassesPatches:
    """Parts of pictures go straight to the encoder within, `plain`."""

    def patches(self: _AroundPatches, picture: Signal) -> Floats:
        """See `polyseek.core.protocols.PatchEncoder`."""
        return self.plain.patches(picture)

    def words(self: _AroundPatches, text: str) -> tuple[Floats, Floats]:
        """See `polyseek.core.protocols.PatchEncoder`."""
        return self.plain.words(text)


class PassesSoundPatches(PassesPatches):
    """So do the moments of a sound."""

    def sound_patches(self: _AroundSoundPatches, sound: Signal) -> Floats:
        """See `polyseek.core.protocols.SoundPatchEncoder`."""
        return self.plain.sound_patches(sound)


def able_as(encoder: Encoder, wrapper: type[W], sees: type[W], hears: type[W]) -> type[W]:
    """The class of wrapper for an encoder.

    Args:
        encoder: What is wrapped.
        wrapper: For one that only embeds.
        sees: For one with parts of pictures.
        hears: For one with moments of sounds, too.
    """
    if not isinstance(encoder, PatchEncoder):
        return wrapper
    return hears if isinstance(encoder, SoundPatchEncoder) else sees
