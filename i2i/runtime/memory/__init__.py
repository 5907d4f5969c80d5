"""Memory limits, memory estimates, and batches."""
