"""`./run load`: many users at once on a whole Atelier whose servers are cut off and slowed down under way."""
