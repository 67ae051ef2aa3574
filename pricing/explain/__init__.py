"""One factor told to a person: what it is made of, the driving behind it, what would change it."""
