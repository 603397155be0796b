"""Pickles of NVIDIA's networks, read as data: nothing that they name is imported or called."""
