"""Image files: patterns of names, decoding, comments inside them."""
