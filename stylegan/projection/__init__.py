"""Projection: from an image to the w that draws it."""
