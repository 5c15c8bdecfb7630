"""HTTP over the same two roads: the API under ``/v1``, and the page."""
