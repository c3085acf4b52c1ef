"""Measurements of this package: `vla bench` and `benchmarks/soak.py`. See docs/bench.md."""
