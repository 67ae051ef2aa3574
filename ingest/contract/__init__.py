"""The lake as later stages see it: table schemas, file layout, manifest."""
