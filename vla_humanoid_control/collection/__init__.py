"""Demonstrations, corrections and rollouts, as the simulator gives them."""
