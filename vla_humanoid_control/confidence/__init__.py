"""Confidence: calibration and the gate."""
