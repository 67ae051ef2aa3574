"""An hour of the wall clock for the agent, on real ports; the day on a virtual clock is `tests.device.soak`."""
