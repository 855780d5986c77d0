"""What a command does beyond one room: find, choose, run, say what failed."""
