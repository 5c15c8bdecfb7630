"""Engines that find words in pictures and in speech; each needs an extra."""
