"""Bytes -> signals."""
