"""`./run bench scheduling`: the scheduling policy itself in a simulation of a fleet, beside simpler ways to schedule."""
