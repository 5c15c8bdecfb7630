from polyseek.testing import FakeSparseEncoder
from polyseek.testing.sparse_encoder import SparseEncoderConformance


class TestFakeSparseEncoder(SparseEncoderConformance):
    def make_encoder(self):
        return FakeSparseEncoder()
