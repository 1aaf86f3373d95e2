"""From decoded frames to the pixels that a translator sees: colour, HDR, orientation, size."""
