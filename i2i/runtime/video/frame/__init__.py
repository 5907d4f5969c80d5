"""One video frame: colour, chroma location, rotation and time."""
