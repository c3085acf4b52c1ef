"""Datasets, transforms, behaviour cloning, checkpoints."""
