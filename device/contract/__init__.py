"""What leaves the car, and what a later stage may know of it: wire, chain, motion, rules, summaries, recordings."""
