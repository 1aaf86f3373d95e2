"""Inputs in segments, which can be resumed and be worked on by several workers, here or on other machines."""
