"""Suites, rollouts, broken and impaired cameras, reports."""
