"""Pieces for serving HTTP that know nothing of the product: ids, envelopes, bodies, ranges, streams, CORS."""
