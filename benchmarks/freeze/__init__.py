"""Everything that the commands print and write on small inputs, recorded and compared."""
