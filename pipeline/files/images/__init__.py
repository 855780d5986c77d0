"""Images on disk: NIfTI volumes and pictures, read by one contract, and written."""
