"""Generators of any origin, loaded and checked against the protocol."""
