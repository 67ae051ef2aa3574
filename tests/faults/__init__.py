"""Faults on purpose: the road from outboxes to the lake under kills, cuts, full disks and a wrong order."""
