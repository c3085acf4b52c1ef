"""Demonstrations, corrections and rollouts in the simulator, and its Gymnasium environment."""
