"""What this machine can do: stages, ticks, whole transcodes, and what stands in the way."""
