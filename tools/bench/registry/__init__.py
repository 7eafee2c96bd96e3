"""What the registry costs: a workflow beside its raw graph, many at once, a result that was there already."""
