"""What every sparse encoder must do: inherit `SparseEncoderConformance` and say how to make one."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pytest

from polyseek.core.protocols import SparseEncoder
from polyseek.core.sparse import SparseVector
from polyseek.core.types import Role
from polyseek.testing.encoder import TEXTS


class SparseEncoderConformance(ABC):
    """Checks of `polyseek.core.protocols.SparseEncoder`; name the subclass ``Test...``.

    Attributes:
        tolerance: How far a weight may differ between two calls; 0 demands equal bits.
        related: A text, one that should be nearest to it, and one that should not.
    """

    tolerance = 0.0
    related = ("a red car on the road", "the car is red", "two sleeping dogs")

    @abstractmethod
    def make_encoder(self) -> SparseEncoder:
        """The encoder; called once per test, so a costly one should be kept by the subclass."""

    @pytest.fixture
    def encoder(self) -> SparseEncoder:
        """The encoder."""
        return self.make_encoder()

    def test_it_says_which_it_is(self, encoder: SparseEncoder) -> None:
        assert encoder.name
        assert encoder.revision

    def test_every_text_has_a_vector(self, encoder: SparseEncoder) -> None:
        for role in Role:
            found = encoder.encode(TEXTS, role=role)
            assert len(found) == len(TEXTS)
            for vector in found:  # a `SparseVector` checks itself
                assert isinstance(vector, SparseVector)
                assert vector.indices.dtype == np.int32
                assert vector.weights.dtype == np.float32
            assert len(found[0].indices), "a text with words has weights"
        assert not list(encoder.encode([], role=Role.DOCUMENT))

    def test_a_text_does_not_depend_on_its_batch(self, encoder: SparseEncoder) -> None:
        together = encoder.encode(TEXTS, role=Role.DOCUMENT)
        for text, expected in zip(TEXTS, together, strict=True):
            (alone,) = encoder.encode([text], role=Role.DOCUMENT)
            np.testing.assert_array_equal(alone.indices, expected.indices)
            np.testing.assert_allclose(alone.weights, expected.weights, rtol=0, atol=self.tolerance)

    def test_related_texts_have_the_greater_product(self, encoder: SparseEncoder) -> None:
        asked, near, far = self.related
        (query,) = encoder.encode([asked], role=Role.QUERY)
        products = [product(query, v) for v in encoder.encode([near, far], role=Role.DOCUMENT)]
        assert products[0] > products[1]


def product(one: SparseVector, other: SparseVector) -> float:
    """Of two sparse vectors."""
    _, mine, theirs = np.intersect1d(one.indices, other.indices, return_indices=True)
    return float(one.weights[mine] @ other.weights[theirs])
