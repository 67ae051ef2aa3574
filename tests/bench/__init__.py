"""Benchmarks: each module of this folder that has `run() -> list[Row]` is one, named after its file."""
