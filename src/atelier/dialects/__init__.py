"""The APIs that people already use, one package each: they translate to the domains below and nothing more."""
