"""Adapters from pairs: a ladder of maps, judged on pairs that none of them was fitted on."""
