"""Workflows in PostgreSQL: one statement per function, values back."""
