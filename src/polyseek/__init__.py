"""Cross-modal retrieval: search images and texts with a query of any modality."""

__version__ = "0.1.0"
