"""Foundations of measurements: blocks of work, processes, files, random streams."""
