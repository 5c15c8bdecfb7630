"""What a collection holds, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polyseek.core.reports import Failure
from polyseek.core.types import AssetStatus, Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a collection holds.

    Attributes:
        location: Where it is stored.
        encoder: Name and revision of its encoder.
        assets: Number of assets by status.
        modalities: Number of searchable assets by modality; a video with sound counts as both.
        failures: Assets that are not fully searchable, with the reason.
        joined: The adapter that joins each modality that the encoder lacks.
        notes: What is unfinished, and how to finish it.
    """

    location: str
    encoder: str
    assets: Mapping[AssetStatus, int]
    modalities: Mapping[Modality, int]
    failures: Sequence[Failure]
    joined: Mapping[Modality, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "location": self.location,
            "encoder": self.encoder,
            "assets": {str(status): self.assets.get(status, 0) for status in AssetStatus},
            "modalities": {str(modality): n for modality, n in self.modalities.items()},
            "failures": [
                {"uri": f.uri, "status": str(f.status), "reason": f.reason} for f in self.failures
            ],
            "joined": {str(modality): name for modality, name in self.joined.items()},
            "notes": list(self.notes),
        }


def unfinished(unplaced: Mapping[Modality, str]) -> list[str]:
    """What people should know of stored segments that were not moved to the end.

    Args:
        unplaced: The version that they should lie by, by modality.
    """
    return [
        f"{modality}: not all of it lies where '{name}' puts it yet; unless a command is at it, "
        f"'polyseek adapters use {name}' or the next 'polyseek index' moves the rest"
        for modality, name in sorted(unplaced.items())
    ]
