"""SQL of the fleet."""
