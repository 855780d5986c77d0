"""Synthetic brains and tumours."""
