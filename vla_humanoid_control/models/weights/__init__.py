"""Weights that others have trained, under the names of our parts: one file a system."""
