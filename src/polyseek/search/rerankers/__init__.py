"""Built-in rerankers; see `polyseek.core.protocols.Reranker`."""
