"""Motion to events and trips, trips to driver periods; the feature catalogue."""
