"""Networks of the paper: mapping, synthesis, discriminator."""
