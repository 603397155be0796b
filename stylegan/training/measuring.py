"""Memory that the metrics of a run take, estimated on meta tensors, and the batch that fits."""

from functools import cached_property

import torch

from stylegan.configs import Config
from stylegan.networks.generator import Generator, GeneratorAtLod
from stylegan.training.partition import Execution
from stylegan.training.rehearsal import Meter, Rehearsal, bytes_of
from stylegan.training.schedule import phases
from stylegan.training.settings import NamedMetric, RunSettings, network_of
from stylegan_eval.engine.blocks import Run, split
from stylegan_eval.engine.safe_files import MAPPED
from stylegan_eval.engine.sampling import as_rgb, quantised
from stylegan_eval.errors import UserError
from stylegan_eval.metrics import metric_of
from stylegan_eval.metrics.path_length import crop_and_shrink
from stylegan_eval.metrics.ppl import load_chosen
from stylegan_eval.networks.network import CPU_IMAGES, load_detector
from stylegan_eval.results.formatting import size_text
from stylegan_eval.settings.image_metrics import FeatureSettings
from stylegan_eval.settings.others import PplSettings

_META = torch.device("meta")
_ROWS = 4096  # features that are gathered before they are reduced


class MetricMemory:
    """Peak of a process that measures checkpoints: the state of the training is there as well."""

    def __init__(self, config: Config, settings: RunSettings, device: torch.device) -> None:
        self._config, self._settings, self._device = config, settings, device
        self._found: dict[int, int] = {}

    @cached_property
    def _held(self) -> int:
        return Rehearsal(self._config, Execution()).held

    def at(self, batch: int) -> int:
        """Bytes of `batch` images at a time; 0 without metrics."""
        if batch not in self._found:
            peaks = [self._peak(each, batch) for each in self._settings.metrics.named()]
            self._found[batch] = self._held + max(peaks) if peaks else 0
        return self._found[batch]

    def largest_batch(self) -> int:
        """Images at a time: as many as asked for, halved until they fit into the memory limit."""
        batch, limit = self._settings.metrics.metrics_batch, self._settings.memory_limit
        while limit is not None and self.at(batch) > limit:
            if batch == 1:
                raise UserError(
                    f"a memory limit of {size_text(limit)} is too small for --metrics: one image at"
                    f" a time needs {size_text(self.at(1))}; use more, or leave out --metrics"
                )
            batch //= 2
        return batch

    def _peak(self, metric: NamedMetric, batch: int) -> int:
        settings, size = metric.settings, self._config.resolution
        if isinstance(settings, PplSettings):
            distance, _ = load_chosen(settings, None, size, Run(device=_META))
            weights = bytes_of(distance.trunk)
            with Meter() as meter, torch.no_grad():
                images = self._draw(2 * max(1, batch // 2))  # both ends of each pair
                distance.embed(crop_and_shrink(images, settings.crop, settings.rule, size))
            return weights + meter.peak
        assert isinstance(settings, FeatureSettings)
        network = network_of(settings)
        assert network is not None
        detector = load_detector(*network, None, _META)
        seen = min(batch, CPU_IMAGES) if self._device.type == "cpu" else batch
        with Meter() as meter, torch.no_grad():
            images = self._draw(batch)
            bytes_ = quantised(images)
            detector(bytes_[:seen])
        width, row = detector.feature_dim, metric_of(settings)
        kept = 0
        if "moments" in row.fake:  # rows, those without their mean, and matrices; in float64
            rows = min(_ROWS, len(split(settings.num)[-1]))
            kept += 8 * (3 * rows * width + 4 * width**2)
        if "vectors" in row.fake:
            kept += 2 * min(4 * settings.num * width, MAPPED)
        return bytes_of(detector.network) + meter.peak + kept

    def _draw(self, images: int) -> torch.Tensor:
        """Images of the end of the training, by a generator of their own."""
        config = self._config
        with _META:
            network = Generator(config.network, config.resolution)
        generator = GeneratorAtLod(network, phases(config)[-1].lod)
        ws = torch.empty(images, network.num_ws, config.network.w_dim, device=_META)
        noise = [torch.empty(images, 1, *shape, device=_META) for shape in generator.noise_shapes]
        return as_rgb(generator.synthesis(ws, noise))


def words_on_metrics(config: Config, settings: RunSettings, device: torch.device) -> str:
    """Line of the plan on the memory of the metrics; "" without metrics."""
    if not settings.metrics.metrics:
        return ""
    memory = MetricMemory(config, settings, device)
    batch = memory.largest_batch()
    return f"about {size_text(memory.at(batch))} in each process, {batch} images at a time"
