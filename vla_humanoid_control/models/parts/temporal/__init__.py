"""Frames of a history to what they mean together."""
