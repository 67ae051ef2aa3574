"""Watching a priced book month by month: drift, experience, calibration, and whether driving is still seen as well."""
