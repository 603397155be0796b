"""All that changes during training."""

import copy
from dataclasses import dataclass

from torch import nn

from stylegan.configs import Config
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator, build_discriminator, build_generator
from stylegan.runtime import Runtime, stream_seed
from stylegan.training.optimizer import Adam
from stylegan.training.schedule import TrainingPoint, active_levels, training_point


@dataclass(kw_only=True)
class TrainState:
    """Networks, optimizers and progress.

    Attributes
    ----------
    G, D, G_ema
        Generator, discriminator, and the moving average of G's weights (``Gs``).
    optimizer_G, optimizer_D
        Adam of each.
    nimg : int
        Real images shown.
    lod : float
        Level of detail trained last, or about to be trained first.
    skipped_G, skipped_D : int
        Steps left out because a gradient was not finite.
    """

    G: Generator
    D: Discriminator
    G_ema: Generator
    optimizer_G: Adam
    optimizer_D: Adam
    lod: float
    nimg: int = 0
    skipped_G: int = 0
    skipped_D: int = 0

    @classmethod
    def fresh(cls, config: Config, runtime: Runtime, seed: int) -> "TrainState":
        """New networks, a function of (config, seed) alone."""
        G = build_generator(config, seed=stream_seed(seed, 1)).to(runtime.device)
        D = build_discriminator(config, seed=stream_seed(seed, 2)).to(runtime.device)
        return cls(
            G=G,
            D=D,
            G_ema=copy.deepcopy(G).requires_grad_(requires_grad=False),
            optimizer_G=Adam(G.parameters(), config.schedule),
            optimizer_D=Adam(D.parameters(), config.schedule),
            lod=training_point(0, config).lod,
        )

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by the names they are stored under."""
        return {"G": self.G, "D": self.D, "G_ema": self.G_ema}

    def enter(self, point: TrainingPoint) -> None:
        """Forget the optimizers' moments when a layer comes or goes."""
        if active_levels(self.lod) != active_levels(point.lod):
            self.optimizer_G.reset()
            self.optimizer_D.reset()
        self.lod = point.lod
