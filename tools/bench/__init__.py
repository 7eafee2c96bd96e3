"""`./run bench`: the product measured beside the very servers that it drives, in turns, in one run."""
