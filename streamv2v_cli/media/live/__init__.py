"""Cameras and streams: read in a thread of their own, opened again when they fall silent."""
