"""A manifest is proposed for a graph that somebody brings: every proposal could be published as it is."""
