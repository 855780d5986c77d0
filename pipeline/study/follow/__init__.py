"""After detection: findings of corrected masks, and what became of them by another date."""
