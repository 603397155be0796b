"""Measures image generators; knows a generator only through `protocols.ImageGenerator`."""
