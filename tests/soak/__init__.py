"""Soak runs of the agent: a day of driving on a virtual clock, and an hour of the wall clock on real ports."""
