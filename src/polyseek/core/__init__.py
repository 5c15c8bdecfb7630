"""Values, protocols, errors and options shared by every room; imports nothing of ours."""
