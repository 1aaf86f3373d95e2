"""The stream batch: frames in, restyled frames out (sections 3 and 4 of the StreamV2V paper)."""
