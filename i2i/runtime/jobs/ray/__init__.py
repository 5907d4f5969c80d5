"""A folder job on a Ray cluster: Ray schedules, repeats and spreads, and each of its tasks translates a few images."""
