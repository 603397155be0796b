"""`stylegan-eval cache`: what is kept between runs, whether it is whole, and its removal."""

from pathlib import Path

import click

from stylegan_eval.command import ErrorLineGroup, say
from stylegan_eval.errors import UserError

_SHOWN = ("num", "content", "which", "kind", "flips", "network")


@click.group(cls=ErrorLineGroup)
def cache() -> None:
    """Statistics of real images, and unfinished work."""


@cache.command("list")
def list_command() -> None:
    """List what is kept: size, date and what it was computed from."""
    from stylegan_eval.cache import cache_dir
    from stylegan_eval.reals_cache import cached_files, read_entry

    lines = []
    for path in cached_files():
        found = read_entry(path)
        if found is None:
            lines.append((path, "damaged, or of another version"))
            continue
        key = {name: found[0].key.get(name, "?") for name in _SHOWN}
        which = f"{key['num']} images {str(key['content'])[:8]} ({key['which']}"
        text = f"{key['kind']} of {which}, flips {key['flips']}), {key['network']}"
        lines.append((path, text if found[0].whole else f"damaged: {text}"))
    unfinished = _unfinished()
    for path, text in lines:
        size, date = _size_and_date(path)
        say(f"{path.stem[:8]}  {size:>9}  {date}  {text}")
    for folder in unfinished:
        files = list(folder.glob("*.npz"))
        total = sum(file.stat().st_size for file in files)
        say(f"{folder.name[:8]}  {_megabytes(total):>9}  unfinished, {len(files)} blocks")
    say(f"{len(lines)} statistics, {len(unfinished)} unfinished runs in {cache_dir()}", err=True)


@cache.command()
def verify() -> None:
    """Read every statistic and check its digest; status 1 when one is damaged.

    stylegan-data cache verify checks the whole cache.
    """
    from stylegan_eval.reals_cache import cached_files, is_as_written

    damaged = 0
    paths = cached_files()
    for path in paths:
        if not is_as_written(path):
            damaged += 1
            say(f"{path}: damaged")
    if damaged:
        raise UserError(
            f"{damaged} of {len(paths)} statistics are damaged: delete them, or run"
            " stylegan-eval cache clear; damaged ones are never used"
        )
    say(f"{len(paths)} statistics, all whole")


@cache.command()
@click.argument("names", nargs=-1)
@click.option("--unfinished", is_flag=True, help="Unfinished work alone.")
def clear(names: tuple[str, ...], unfinished: bool) -> None:
    """Remove all of it, or what begins with NAMES (as `list` shows them)."""
    import shutil

    from stylegan_eval.reals_cache import cached_files, reals_folder

    statistics = [] if unfinished else [p for p in cached_files() if _named(p.stem, names)]
    folders = [folder for folder in _unfinished() if _named(folder.name, names)]
    if names and not statistics and not folders:
        raise UserError(f"nothing in the cache begins with {' or '.join(names)}")
    # What a killed run was writing; another may be writing now, and will say so.
    torn = [] if names or unfinished else list(reals_folder().glob(".*.tmp"))
    for path in [*statistics, *torn]:
        path.unlink(missing_ok=True)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"removed {len(statistics)} statistics, {len(folders)} unfinished runs")


def _named(name: str, beginnings: tuple[str, ...]) -> bool:
    return not beginnings or name.startswith(beginnings)


def _unfinished() -> list[Path]:
    from stylegan_eval.cache import cache_dir

    folder = cache_dir() / "work"
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _size_and_date(path: Path) -> tuple[str, str]:
    from datetime import UTC, datetime

    status = path.stat()
    date = datetime.fromtimestamp(status.st_mtime, UTC)
    return _megabytes(status.st_size), date.strftime("%Y-%m-%d %H:%M")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
