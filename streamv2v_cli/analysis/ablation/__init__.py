"""The tables of the paper on one's own clips."""
