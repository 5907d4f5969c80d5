"""Models that others made: what their tensors mean is found where it is certain, else told, and written into a copy."""
