"""``i2i demo``: a complete run on drawn landscapes, from two folders to translated images."""
