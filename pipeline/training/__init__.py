"""Training of the network on healthy slices."""
