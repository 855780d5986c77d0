"""What stands out in a scan, in words and numbers, and what became of it by another date."""
