"""Data sets in the layouts in which they are handed around, one reader for each."""
