"""Where the brain is in a scan: its background, its parts, and whether it looks like one."""
