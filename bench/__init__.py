"""Benchmarks of fastrnn: `python -m bench.peers` against other libraries, `pytest bench` piece by piece."""
