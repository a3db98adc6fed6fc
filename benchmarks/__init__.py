"""Measurements at full size: `python -m benchmarks.NAME` from the repository's root."""
