"""`stylegan-eval`: a subcommand per metric, and the commands beside them."""

from stylegan_eval.cli.commands import cache, compare, plan_samples, report
from stylegan_eval.cli.making import classifiers, directions, stats
from stylegan_eval.cli.metrics import main

__all__ = ["main"]

for _command in (stats, classifiers, compare, plan_samples, report, cache, directions):
    main.add_command(_command)
