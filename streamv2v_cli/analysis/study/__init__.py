"""A page that asks people which of two results is better, and the score of their answers."""
