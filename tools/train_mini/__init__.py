"""Trains `mini`, the restyling model that ships with streamv2v, from nothing: see `__main__.py`."""
