"""The search road: query -> embedding -> candidates per modality -> one ranked list."""
