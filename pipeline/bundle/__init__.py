"""Runs as MONAI bundles and back."""
