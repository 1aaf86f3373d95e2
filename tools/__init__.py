"""Programs for the development of streamv2v; not part of the installed package."""
