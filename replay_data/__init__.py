"""Recorded trips made by this project, and the player, importers and simulator that make and play them."""
