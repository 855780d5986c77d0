"""Which contrast a scan has, told by what its tissues look like."""
