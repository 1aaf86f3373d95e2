"""The probe: a small model that really generates and reads its self-attention, to measure feature banks with.

Not for users: its pictures are small and rough. `python -m benchmarks.probe all` trains it from nothing.
"""
