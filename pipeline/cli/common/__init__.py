"""What all commands share: parsers, what options mean, checks, endings."""
