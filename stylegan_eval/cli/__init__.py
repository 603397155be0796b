"""`stylegan-eval`: a subcommand per metric, and the commands beside them."""

from stylegan_eval.cli.commands import cache, classifiers, report, stats
from stylegan_eval.cli.comparing import compare, plan_samples
from stylegan_eval.cli.directions import directions
from stylegan_eval.cli.metrics import main

__all__ = ["main"]

for _command in (stats, classifiers, compare, plan_samples, report, cache, directions):
    main.add_command(_command)
