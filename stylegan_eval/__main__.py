"""`python -m stylegan_eval`."""

from stylegan_eval.cli import main

main(prog_name="stylegan-eval")
