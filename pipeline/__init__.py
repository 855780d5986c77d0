"""anomap: unsupervised detection of brain tumours with simplex-noise diffusion models."""

__version__ = "0.1.0"
