"""Benchmarks of the CQL engine."""
