"""Anomaly maps as pure functions: arrays in, arrays out."""
