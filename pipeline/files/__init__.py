"""Files on disk: volumes, records with one owner each, names, what made a result."""
