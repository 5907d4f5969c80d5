"""Images larger than memory, read and written in strips."""
