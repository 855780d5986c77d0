"""Trains the network that marks lesions in images of any contrast; see `train`."""
