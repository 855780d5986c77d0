"""A run: every choice of it, and its trained network."""
