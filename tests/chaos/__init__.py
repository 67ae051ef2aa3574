"""Chaos replay: faults over recorded trips, and whether a price moves without a flag; see docs/chaos.md."""
