"""`stylegan-sample`: images, figures, films and projections of a generator."""
