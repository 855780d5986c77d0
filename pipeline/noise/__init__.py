"""Noise: seeds to fields with unit variance."""
