"""Encoders: towers that share one space."""
