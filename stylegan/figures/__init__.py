"""The figures of the paper from any generator, style mixing, and interpolation."""
