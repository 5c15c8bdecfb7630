"""Vectors, metadata and asset records; one file per backend."""
