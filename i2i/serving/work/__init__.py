"""Loaded models, and requests through them; nothing here knows HTTP."""
