"""A network that marks lesions in images of any contrast."""
