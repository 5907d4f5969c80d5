"""Third-party models: find what their tensors mean, take the rest from the user, and write it into a copy."""
