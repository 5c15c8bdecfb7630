"""The ingest road: source -> asset -> segments -> embeddings -> store."""
