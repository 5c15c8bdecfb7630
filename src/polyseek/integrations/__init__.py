"""Retrievers for frameworks. Each module needs the framework's own package, and nothing else."""
