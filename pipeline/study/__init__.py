"""What the commands do: each a function that is public API."""
