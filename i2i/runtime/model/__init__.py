"""A model file as a function of images."""
