"""Where a page is: the open view and the state of each, as an address has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from stylegan.explore.view import View

OPENING = "samples"  # the view of an address that names none
_LINKED = "image"  # ... unless it has this one's state


@dataclass(frozen=True, kw_only=True)
class Place:
    """A view, and the states of all views that have one."""

    view: str
    words: Mapping[str, str]  # By the view's name

    @classmethod
    def parse(cls, query: str, views: Sequence[View]) -> "Place":
        """Read the query of an address; a view that is none is "" (and what is not known, left)."""
        pairs = dict(parse_qsl(query))
        words = {view.name: pairs[view.parameter] for view in views if view.parameter in pairs}
        named = pairs.get("view", _implied(words))
        return cls(view=named if named in {view.name for view in views} else "", words=words)

    def query(self, views: Sequence[View]) -> str:
        """Query of the address; the view is left out where it is the one without."""
        stated = {
            view.parameter: self.words[view.name] for view in views if self.words.get(view.name)
        }
        named = {} if self.view == _implied(self.words) else {"view": self.view}
        return urlencode(named | stated)


def _implied(words: Mapping[str, str]) -> str:
    return _LINKED if words.get(_LINKED) else OPENING
