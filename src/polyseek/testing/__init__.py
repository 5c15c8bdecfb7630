"""For tests of plug-ins: a fake encoder, and conformance suites to inherit."""

from polyseek.testing.encoder import FakeEncoder

__all__ = ["FakeEncoder"]
