"""In the car: sources, motion, events and trips, the outbox and the uplink; owns the wire contract."""
