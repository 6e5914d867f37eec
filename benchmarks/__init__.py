"""Benchmarks: each prints its figures beside a peer in the same run."""
