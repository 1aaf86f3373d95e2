"""Outputs: what they will hold, settled beforehand, and files, pipes, servers and images that are written."""
