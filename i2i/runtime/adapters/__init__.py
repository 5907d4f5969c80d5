"""Third-party models: infer or state what their tensors mean, and write it into a copy."""
