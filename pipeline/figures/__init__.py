"""Figures, for the screen and for a paper."""
