"""Consistency over time: smoothing, optical flow, scene cuts, flicker."""
