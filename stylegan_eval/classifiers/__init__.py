"""Classifiers of binary attributes: networks, training, their file, their command."""
