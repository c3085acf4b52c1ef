"""Suites, rollouts, metrics and reports."""
