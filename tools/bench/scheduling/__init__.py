"""`./run bench scheduling`: the policy itself in a simulated fleet, beside simpler ways to schedule."""
