"""Rows of results: written, read, compared and formatted."""
