"""Images with two attributes that any classifier learns in seconds."""

import json

import numpy as np
from PIL import Image

NAMES = ["bright", "red"]


def draw(count, size, seed=0):
    """Noisy flat images, and whether each is bright and redder than blue."""
    rng = np.random.default_rng(seed)
    colours = rng.uniform(60, 195, (count, 1, 1, 3))
    pixels = colours + rng.normal(0, 20, (count, size, size, 3))
    means = colours[:, 0, 0]
    labels = np.stack([means.mean(axis=1) > 127.5, means[:, 0] > means[:, 2]], axis=1)
    return pixels.clip(0, 255).astype(np.uint8), labels.astype(int)


def write(folder, pixels, labels, names=NAMES):
    folder.mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index:04d}.png")
    pairs = [[f"{i:04d}.png", label] for i, label in enumerate(labels)]
    content = {"labels": pairs, "attributes": names} if names else {"labels": pairs}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder
