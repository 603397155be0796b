"""Images drawn ahead of a slider, while the worker is idle."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from stylegan.explore.studio import Studio
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

STEPS = 2  # that are drawn ahead
_DIGITS = 6  # finer than any slider


def following(before: Recipe, now: Recipe) -> Iterator[Recipe]:
    """Recipes that come next if the one number that changed goes on by as much.

    A number is the seed, psi, or the amount of a move. Nothing where something else changed, or
    where several did.
    """
    old, new = _numbers(before), _numbers(now)
    changed = [name for name in old | new if old.get(name, 0) != new.get(name, 0)]
    others = (replace(each, seed=0, psi=1.0, moves=()) for each in (before, now))
    if len(changed) != 1 or next(others) != next(others):
        return
    (name,) = changed
    step = new.get(name, 0) - old.get(name, 0)
    moves = {move.name: move for move in (*before.moves, *now.moves)}
    for count in range(1, STEPS + 1):
        value = round(new.get(name, 0) + count * step, _DIGITS)
        try:
            if name in ("seed", "psi"):
                yield replace(now, **{name: value})
            else:
                moved = replace(moves[name[1:]], amount=value)
                # In the order of the controls: in another the recipe is another.
                row = now.moves if name in new else before.moves
                placed = [moved if move.name == moved.name else move for move in row]
                yield replace(now, moves=tuple(move for move in placed if move.amount))
        except UserError:  # beyond what there is
            return


def _numbers(recipe: Recipe) -> dict[str, Any]:
    amounts = {f"={move.name}": move.amount for move in recipe.moves}
    return {"seed": recipe.seed, "psi": recipe.psi, **amounts}


class Ahead:
    """What one tab has drawn ahead of it; a new direction drops what is left of the last."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._last: Recipe | None = None
        self._pending: list[Future[bytes]] = []

    def go_on(self, recipe: Recipe) -> None:
        """Draw what follows, after this recipe was shown, unless images take long."""
        for future in self._pending:
            future.cancel()
        before, self._last = self._last, recipe
        self._pending = [] if before is None else self._studio.ahead(following(before, recipe))
