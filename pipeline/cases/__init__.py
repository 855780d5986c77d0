"""Folders as people have them to cases, and a case to a slice stack and back."""
