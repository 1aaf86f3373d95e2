"""Files, pipes and images as sources of upright RGB frames and of packets to copy."""
