"""A case to its anomaly map: methods, thresholds, results on disk, fusion."""
