"""What pricing publishes: the factor table."""
