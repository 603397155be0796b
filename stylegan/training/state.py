"""State of a training."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from stylegan.configs import Config, ScheduleConfig
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator, build_discriminator, build_generator
from stylegan.runtime import Runtime, stream_seed
from stylegan.snapshot import Provenance, ResumeState, Snapshot, check_parts
from stylegan.training.optimizer import NUM_TERMS, Adam, Flat
from stylegan.training.partition import Execution
from stylegan.training.schedule import TrainingPoint, active_levels, training_point


@dataclass(kw_only=True)
class TrainState:
    """Networks, optimizers and progress."""

    G: Generator
    D: Discriminator
    G_ema: Generator
    """G, D, G_ema: Generator, discriminator, and the moving average of G's weights (``Gs``)."""
    flat_G: Flat
    flat_D: Flat
    flat_ema: Flat
    """flat_G, flat_D, flat_ema: Weights and gradients of each as vectors. Behind the gradients of G
    and D: the mean w of the fakes drawn, and `NUM_TERMS` numbers of the log."""
    optimizer_G: Adam
    optimizer_D: Adam  # optimizer_G, optimizer_D: Adam of each
    lod: float  # Level of detail trained last, or about to be trained first
    nimg: int = 0  # Real images shown
    log_nimg: int = 0  # Images shown at the last row of the log
    log_looks: int = 0  # Schedule updates since
    log_sums: dict[str, Tensor] = field(default_factory=dict)  # Sums of their terms
    snapshot_nimg: int = 0
    """Images shown at the last snapshot that was due by kimg: not made for a signal, or by time."""

    @classmethod
    def fresh(
        cls, config: Config, runtime: Runtime, seed: int, execution: Execution = Execution()
    ) -> "TrainState":
        """New networks, a function of (config, seed) alone, laid out for `execution`."""
        layout = execution.memory_format(runtime.device.type)
        G = build_generator(config, seed=stream_seed(seed, 1)).to(runtime.device)
        D = build_discriminator(config, seed=stream_seed(seed, 2)).to(runtime.device)
        G, D = G.to(memory_format=layout), D.to(memory_format=layout)
        return cls.of(G, D, copy.deepcopy(G), config)

    @classmethod
    def of(
        cls,
        G: Generator,
        D: Discriminator,
        G_ema: Generator,
        config: Config,
        optimizer: Callable[[Flat, ScheduleConfig], Adam] = Adam,
    ) -> "TrainState":
        """State of a training that begins with these networks, on the device they are on."""
        tail = config.network.w_dim + NUM_TERMS
        flat_G, flat_D = Flat(G, tail=tail), Flat(D, tail=tail)
        return cls(
            G=G,
            D=D,
            G_ema=G_ema.requires_grad_(requires_grad=False),
            flat_G=flat_G,
            flat_D=flat_D,
            flat_ema=Flat(G_ema),
            optimizer_G=optimizer(flat_G, config.schedule),
            optimizer_D=optimizer(flat_D, config.schedule),
            lod=training_point(0, config).lod,
        )

    @property
    def skipped_G(self) -> Tensor:
        """Steps of G left out because a gradient was not finite; a scalar on the device."""
        return self.optimizer_G.skipped

    @property
    def skipped_D(self) -> Tensor:
        """Steps of D left out because a gradient was not finite; a scalar on the device."""
        return self.optimizer_D.skipped

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by the names they are stored under."""
        return {"G": self.G, "D": self.D, "G_ema": self.G_ema}

    def snapshot(
        self,
        config: Config,
        provenance: Provenance,
        labels: Tensor | None = None,
        label_names: tuple[str, ...] = (),
    ) -> Snapshot:
        """Content of a checkpoint; shares the tensors.

        A conditional network needs `labels` [K, label_size] of training images to be sampled.
        """
        return Snapshot(
            config=config,
            provenance=provenance,
            nimg=self.nimg,
            lod=self.lod,
            networks={name: network.state_dict() for name, network in self.networks.items()},
            labels=labels,
            label_names=label_names,
            resume=ResumeState(
                optimizers={"G": self.optimizer_G.tree(), "D": self.optimizer_D.tree()},
                snapshot_nimg=self.snapshot_nimg,
                log_nimg=self.log_nimg,
                log_looks=self.log_looks,
                log_sums=self.log_sums,
            ),
        )

    def enter(self, point: TrainingPoint) -> None:
        """Forget the optimizers' moments when a layer comes or goes."""
        if active_levels(self.lod) != active_levels(point.lod):
            self.optimizer_G.reset()
            self.optimizer_D.reset()
        self.lod = point.lod


def load_state(
    snapshot: Snapshot, runtime: Runtime, execution: Execution = Execution()
) -> TrainState:
    """Training state of a checkpoint, on the runtime's device, laid out for `execution`."""
    resume = snapshot.resume
    assert resume is not None
    state = TrainState.fresh(snapshot.config, runtime, snapshot.provenance.seed, execution)
    load_networks(snapshot, state)
    state.optimizer_G.load_tree(resume.optimizers["G"])
    state.optimizer_D.load_tree(resume.optimizers["D"])
    state.nimg, state.lod = snapshot.nimg, snapshot.lod
    state.snapshot_nimg = resume.snapshot_nimg
    state.log_nimg, state.log_looks = resume.log_nimg, resume.log_looks
    state.log_sums = {key: value.to(runtime.device) for key, value in resume.log_sums.items()}
    return state


def load_networks(snapshot: Snapshot, state: TrainState) -> None:
    """Give the networks of `state` the weights of a snapshot."""
    check_parts(snapshot, tuple(state.networks), "training goes on")
    for name, network in state.networks.items():
        network.load_state_dict(snapshot.networks[name])


def load_initial(snapshot: Snapshot, state: TrainState) -> None:
    """Begin with the weights of a snapshot's networks, which may be smaller or unconditional.

    New layers of a higher resolution are fresh, and the same in G and its average. Classes begin
    alike: their embedding is zero, and so nothing but what normalisation's epsilon does to z is
    changed; D scores all of them as it scored without.
    """
    check_parts(snapshot, tuple(state.networks), "training goes on")
    doublings = state.G.resolution.bit_length() - snapshot.config.resolution.bit_length()
    for part, network in state.networks.items():
        begun = network.state_dict()
        if "f.label_embedding.weight" in begun:
            begun["f.label_embedding.weight"].zero_()
        for name, value in snapshot.networks[part].items():
            place = _at_lod(name, doublings) if part == "D" else name
            begun[place] = _widened(place, value, begun[place])
        network.load_state_dict(begun)


def _at_lod(name: str, doublings: int) -> str:
    """Name of D's tensor that had another, ``blocks.0.conv0.bias``, before levels were added."""
    kind, *rest = name.split(".")
    if kind in ("from_rgb", "blocks"):
        rest[0] = str(int(rest[0]) + doublings)
    return ".".join([kind, *rest])


def _widened(name: str, value: Tensor, fresh: Tensor) -> Tensor:
    """`value` in the shape of a conditional network's `fresh` weights.

    Beside an embedding of zeros, normalised z is longer by sqrt(2), and the scale of a layer that
    has twice the inputs smaller by as much: the weights of z stay what they are.
    """
    if value.shape == fresh.shape:
        return value
    if name == "w_avg":  # of rows without a mapping, where w is z beside the embedding
        return torch.cat([value * math.sqrt(2), torch.zeros_like(value)])
    if name.startswith("dense1."):
        return value.expand_as(fresh)
    return torch.cat([value.to(fresh), fresh[:, value.shape[1] :]], dim=1)
