"""Translation of images larger than memory in tiles, without seams, by shared normalisation statistics."""
