"""Options of `stylegan-train`: one for each documented field of its settings."""

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Literal, get_type_hints

import click
import pytest
from click.testing import CliRunner

from stylegan.train import main
from stylegan.training.settings import RunSettings, changed
from stylegan_eval.engine.options import options_of
from stylegan_eval.settings.common import choice


@dataclass(frozen=True, kw_only=True)
class Inner:
    speed: float = choice(1.5, "How fast.", above=0)
    loud: bool = choice(default=True, text="Whether it is heard.", shown="yes")


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = "no option"
    inner: Inner = field(default_factory=Inner)
    kind: Literal["a", "b"] = choice("a", "Which.")
    place: Path | None = choice(None, "Where.", metavar="DIR")
    count: int = choice(3, "How many.", least=1, most=9)


def run(*words):
    settings = []
    command = click.Command(
        "x",
        params=options_of(Outer, remembered=True),
        callback=lambda **given: settings.append(changed(Outer(count=4), given)),
    )
    return CliRunner().invoke(command, words), settings


def test_a_field_is_all_that_an_option_needs():
    done, settings = run("--speed", "2", "--no-loud", "--kind", "b", "--place", "x")
    assert done.exit_code == 0, done.output
    expected = Outer(inner=Inner(speed=2, loud=False), kind="b", place=Path("x"), count=4)
    assert settings == [expected]
    assert run()[1] == [Outer(count=4)]  # what is not given stays as it was
    text = run("--help")[0].output
    for shown in ("[default: 1.5]  [x>0]", "[default: yes]", "[a|b]", "--place DIR"):
        assert shown in text
    assert "--name" not in text


@pytest.mark.parametrize(
    "words", ["--speed 0", "--speed nan", "--kind c", "--count 0", "--count 10"]
)
def test_a_value_out_of_range_is_refused(words):
    done, settings = run(*words.split())
    assert (done.exit_code, settings) == (2, [])


def documented(settings):
    for each in fields(settings):
        hint = get_type_hints(settings)[each.name]
        if is_dataclass(hint):
            yield from documented(hint)
        elif "help" in each.metadata:
            yield each


def test_every_documented_setting_of_a_run_is_an_option_of_the_command():
    options = {param.name: param for param in main.params}
    names = [each.name for each in documented(RunSettings)]
    assert len(names) == len(set(names)) >= 18
    for each in documented(RunSettings):
        assert options[each.name].help.startswith(each.metadata["help"])
        assert options[each.name].default is None  # so that a run that goes on keeps its own
