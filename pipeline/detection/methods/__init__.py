"""Methods by name: a prepared case to its anomaly map."""
