"""`python -m stylegan.sample`."""

from stylegan.sample.cli import main

main()
