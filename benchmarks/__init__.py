"""Benchmarks and comparisons; run from the repository root, never imported by the package."""
