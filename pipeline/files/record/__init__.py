"""Records on disk, each with one owner that writes, reads, checks and migrates it."""
