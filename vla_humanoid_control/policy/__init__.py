"""Policies by name or folder, and whether they fit a robot."""
