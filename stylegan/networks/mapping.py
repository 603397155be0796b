"""The mapping network f: Z -> W (Figure 1b, left)."""

import torch
from torch import Tensor, nn

from stylegan.configs import NetworkConfig
from stylegan.networks.layers import EqualizedLinear, leaky_relu, pixel_norm


class LabelEmbedding(nn.Module):
    """One row of N(0, 1) per class, without equalized learning rate, as in the official code."""

    def __init__(self, label_size: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(label_size, dim))

    def reset_parameters(self, rng: torch.Generator) -> None:
        """Draw the rows."""
        nn.init.normal_(self.weight, generator=rng)

    def forward(self, labels: Tensor) -> Tensor:
        """One-hot labels [N, label_size] -> [N, dim]."""
        return labels @ self.weight


class Mapping(nn.Module):
    """Normalise z (joined with the label's embedding), then dense layers with leaky ReLU."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        depth = config.mapping_layers
        conditional = config.label_size > 0
        self.label_embedding = (
            LabelEmbedding(config.label_size, config.z_dim) if conditional else None
        )
        z_width = config.z_dim * (2 if conditional else 1)
        if depth == 0 and z_width != config.w_dim:
            raise ValueError(
                f"without mapping layers w is the normalised latent: w_dim must be {z_width}, "
                f"not {config.w_dim}"
            )
        widths = [z_width] + [config.mapping_fmaps] * (depth - 1) + [config.w_dim]
        self.layers = nn.ModuleList(
            EqualizedLinear(widths[k], widths[k + 1], lrmul=config.mapping_lrmul)
            for k in range(depth)
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Z [N, z_dim], of any length, -> w [N, w_dim].

        A conditional network needs one-hot `labels` [N, label_size], another takes none
        (ValueError).
        """
        if (labels is None) != (self.label_embedding is None):
            raise ValueError("labels are needed by a conditional network and by no other")
        if self.label_embedding is not None and labels is not None:
            z = torch.cat([z, self.label_embedding(labels)], dim=1)
        w = pixel_norm(z)
        for layer in self.layers:
            w = leaky_relu(layer(w))
        return w
