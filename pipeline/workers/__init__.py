"""Work on many items, spread over processes of this machine or the workers of a Dask cluster."""
