"""Studies of results: evaluations, ablations, comparisons, looks into the bank, and opinions of people."""
