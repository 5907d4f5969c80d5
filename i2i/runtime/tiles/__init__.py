"""Images larger than the memory: tile by tile, without seams, since all share one set of normalisation statistics."""
