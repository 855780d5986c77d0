"""Diffusion with any noise: the scheduler, and presets of the network."""
