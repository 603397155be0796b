"""The plan of many trainings as a table: what ``--dry-run`` of the benchmarks prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.plan.model import Throughput, training_amounts, training_storage, work_of
from benchmarks.plan.official import check_line
from stylegan.configs import Config
from stylegan_eval.results.formatting import size_text

_HEAD = (
    f"  {'params':>8s}  {'kimg':>7s}  {'EFLOP':>8s}  {'hours':>8s}  {'GPU-days':>8s}  {'disk':>8s}"
)


@dataclass(frozen=True, kw_only=True)
class _Needs:
    parameters: float
    kimg: float
    flop: float
    seconds: float
    gpu_seconds: float
    storage: int

    def line(self) -> str:
        """All but the name, below `_HEAD`."""
        return (
            f"  {f'{self.parameters / 1e6:.1f}M' if self.parameters else '':>8s}"
            f"  {self.kimg:7,.0f}  {self.flop / 1e18:8.3g}  {self.seconds / 3600:8.1f}"
            f"  {self.gpu_seconds / 86400:8.2f}  {size_text(self.storage):>8s}"
        )


def plan_lines(
    trainings: Sequence[tuple[str, Config]],
    *,
    gpus: int,
    throughput: Throughput,
    snapshot_kimg: float | None = None,
    keep: int = 3,
    keeps_best: bool = False,
) -> Iterator[str]:
    """What each training takes and all of them together, on which assumptions.

    Parameters
    ----------
    trainings : sequence of (str, Config)
        Names, which may occur more than once, and what is trained.
    gpus : int
        GPUs that train one of them together.
    snapshot_kimg, keep, keeps_best
        See `training_storage`.
    """
    needs: dict[Config, _Needs] = {}  # seeds of a row need the same
    for _, config in trainings:
        if config not in needs:
            storage = training_storage(
                config, snapshot_kimg=snapshot_kimg, keep=keep, keeps_best=keeps_best
            )
            needs[config] = _needs(config, gpus, throughput, storage)
    width = max([len("in all"), *(len(name) for name, _ in trainings)])
    yield " " * width + _HEAD
    for name, config in trainings:
        yield f"{name:{width}s}{needs[config].line()}"
    yield f"{'in all':{width}s}{_sum([needs[config] for _, config in trainings]).line()}"
    yield (
        f"hours: of one training on {gpus} x {throughput.name}, trainings one after the other;"
        " EFLOP: 1e18 operations of both networks' steps; disk: at most"
    )
    yield check_line()


def _needs(config: Config, gpus: int, throughput: Throughput, storage: int) -> _Needs:
    amounts = training_amounts(config, gpus=gpus)
    seconds = throughput.seconds(amounts)
    return _Needs(
        parameters=work_of(config, config.resolution).parameters,
        kimg=config.schedule.total_kimg,
        flop=amounts.flop * gpus,
        seconds=seconds,
        gpu_seconds=seconds * gpus,
        storage=storage,
    )


def _sum(all_needs: Sequence[_Needs]) -> _Needs:
    return _Needs(
        parameters=0,
        kimg=sum(n.kimg for n in all_needs),
        flop=sum(n.flop for n in all_needs),
        seconds=sum(n.seconds for n in all_needs),
        gpu_seconds=sum(n.gpu_seconds for n in all_needs),
        storage=sum(n.storage for n in all_needs),
    )
