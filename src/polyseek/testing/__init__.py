"""For tests of plug-ins: fake encoders, and conformance suites to inherit.

The suites need pytest and are imported by module::

    from polyseek.testing.store import StoreConformance


    class TestMyStore(StoreConformance):
        def make_store(self, tmp_path, manifest):
            return MyStore.create(str(tmp_path / "collection"), manifest)

Likewise `polyseek.testing.source.SourceConformance`, `polyseek.testing.decoder.DecoderConformance`,
`polyseek.testing.segmenter.SegmenterConformance`, `polyseek.testing.encoder.EncoderConformance`,
`polyseek.testing.sparse_encoder.SparseEncoderConformance` and
`polyseek.testing.reranker.RerankerConformance`.
"""

import sys

from polyseek.testing.fake_encoder import FakeEncoder
from polyseek.testing.fake_sparse import FakeSparseEncoder

__all__ = ["FakeEncoder", "FakeSparseEncoder"]

if "pytest" in sys.modules:
    # Without rewriting, a failing check of a suite would not show the values it compared.
    sys.modules["pytest"].register_assert_rewrite(
        *(
            f"{__name__}.{suite}"
            for suite in (
                "store",
                "source",
                "decoder",
                "segmenter",
                "encoder",
                "sparse_encoder",
                "reranker",
            )
        )
    )
