"""Folders in a bucket or behind HTTP, through fsspec: images are fetched a few ahead, results put as they are made."""
