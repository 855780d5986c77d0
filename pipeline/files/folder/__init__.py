"""A folder for results: what in it is ours, who is at work there, what its disk takes."""
