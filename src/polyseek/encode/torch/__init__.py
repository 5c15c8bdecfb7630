"""Families that run on PyTorch. Nothing outside of this package imports it, nor torch."""
