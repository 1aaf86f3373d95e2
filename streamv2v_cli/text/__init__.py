"""Text from and for others: URLs without secrets, what steers no terminal, JSON of any names."""
