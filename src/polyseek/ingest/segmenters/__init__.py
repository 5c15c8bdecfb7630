"""Signal -> segments."""
