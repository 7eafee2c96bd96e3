"""What each node class does: a function from a call to what the node made."""
