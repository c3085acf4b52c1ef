"""Confidence: signals, calibration, thresholds, the gate, metrics."""
