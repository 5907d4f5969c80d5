"""``i2i demo``: a small world drawn on the spot, and the whole way from two folders to translated pictures."""
