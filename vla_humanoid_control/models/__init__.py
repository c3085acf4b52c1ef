"""Encoders, fusion and heads, and the systems assembled from them."""
