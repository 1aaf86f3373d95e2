"""Many transcodes: which files, what was finished, who does the work, and how that is shown."""
