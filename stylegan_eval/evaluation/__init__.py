"""Drivers: from what a command line names to rows of results."""
