"""Networks of other code, read as data and turned into ours."""
