"""Destinations of translated frames: a video file, image files, a pipe."""
