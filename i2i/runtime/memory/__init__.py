"""How much fits into memory, and batches that fill it."""
