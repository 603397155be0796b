"""Demo, speed measurements and the tables of the paper."""
