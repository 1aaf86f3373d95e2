"""Measuring what users run: ticks of the translator, and whole transcodes."""
