"""Driver periods, the feature catalogue, and features as they were known on a rating date."""
