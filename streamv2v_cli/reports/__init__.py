"""What the program found, as text, JSON, plots and pictures."""
