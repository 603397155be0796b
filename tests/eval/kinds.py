"""Generators of users, each a body of `images(z)` in a module of its own."""

import csv
import time

import torch
from click.testing import CliRunner

from stylegan_eval.cli import main
from stylegan_eval.engine.sampling import draw

CPU = torch.device("cpu")
LITE = ["--features", "efficientnet-lite0", "--device", "cpu"]
PPL = ["--crop", "none", "--distance", "st-lpips-alex", "--device", "cpu", "-n", "4"]
# draw(z): smooth images [N, 3, 32, 32] in [-1, 1], the same in every kind.
HEAD = """
import itertools, random
import numpy as np
import torch
from torch import nn
BASIS = torch.randn(8, 3 * 8 * 8, generator=torch.Generator().manual_seed(0))
def draw(z):
    small = (z @ BASIS.to(z.dtype)).view(-1, 3, 8, 8) / 2
    return torch.tanh(nn.functional.interpolate(small, scale_factor=4, mode='bilinear'))
def make(device):
    images.z_dim, images.resolution = 8, 32
    return images
COUNT = itertools.count()
NET = nn.utils.skip_init(nn.Linear, 8, 3 * 32 * 32)
with torch.no_grad():
    NET.bias.zero_()
    NET.weight.normal_(generator=torch.Generator().manual_seed(1)).div_(4)
"""
NOISY = HEAD + "def images(z):\n    return draw(z) + .05 * torch.randn(len(z), 3, 32, 32)\n"


def bits(loaded, indices=range(6)):
    return draw(loaded.generator, 5, indices, CPU)[2]


def rows(kind, folder, body, command, *more):
    """Values of a command, and the details and notes of its rows."""
    kind.write(body)
    table = folder / f"{time.monotonic_ns()}.csv"
    options = PPL if command == "ppl" else [*LITE, "-n", "16", "--splits", "2"]
    args = [command, "--generator", "kinds:make", "--csv", str(table), *options, *more]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
    with table.open() as file:
        found = list(csv.DictReader(file))
    return [float(row["value"]) for row in found], found[0]["details"] + found[0]["note"]
