"""Brain masks of raw heads: our own network, and those of optional packages."""
