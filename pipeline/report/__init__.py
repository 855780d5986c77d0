"""A folder of results to one page to look at."""
