"""Image files and folders through models."""
