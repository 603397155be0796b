"""What the commands say on a terminal, in a pipe, and under --quiet."""

import os
import pty
import subprocess
import sys
import termios

import click
import pytest

import benchmarks.__main__
import stylegan.convert
import stylegan.data
import stylegan.explore.command
import stylegan.sample
import stylegan.train
import stylegan_eval.cli

COMMANDS = {
    "benchmarks": benchmarks.__main__.main,
    "stylegan-convert": stylegan.convert.main,
    "stylegan-data": stylegan.data.main,
    "stylegan-eval": stylegan_eval.cli.main,
    "stylegan-explore": stylegan.explore.command.main,
    "stylegan-sample": stylegan.sample.main,
    "stylegan-train": stylegan.train.main,
}


def below(command, name):
    yield name, command
    if isinstance(command, click.Group):
        for word, inner in command.commands.items():
            yield from below(inner, f"{name} {word}")


ALL = dict(pair for name, command in COMMANDS.items() for pair in below(command, name))


@pytest.mark.parametrize("name", ALL)
def test_every_command_can_be_quiet(name):
    flags = [flag for param in ALL[name].params for flag in param.opts]
    assert flags.count("--quiet") == flags.count("-q") == 1


def on_terminal(arguments):
    """What a command writes to stderr where that is a terminal of 80 columns."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=its)
    os.close(its)
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:  # how Linux tells that the other end is closed
        pass
    finally:
        os.close(ours)
    process.communicate()
    assert process.returncode == 0, said
    return said.decode()


@pytest.fixture(autouse=True)
def nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def avatars(tmp_path, name, *more):
    words = [sys.executable, "-m", "stylegan.data", "avatars", str(tmp_path / name)]
    return [*words, "--count", "3", "--resolution", "8", *more]


def test_a_terminal_is_shown_progress_unless_it_is_to_be_quiet(tmp_path):
    assert "3/3" in on_terminal(avatars(tmp_path, "a.zip"))
    assert on_terminal(avatars(tmp_path, "b.zip", "--seed", "1", "--quiet")) == ""


def test_short_work_leaves_no_progress_in_a_log(tmp_path):
    found = subprocess.run(avatars(tmp_path, "a.zip"), capture_output=True, check=True)
    assert found.stderr == b""


def test_errors_are_told_all_the_same(tmp_path):
    arguments = avatars(tmp_path, "", "--quiet")  # a folder
    found = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert found.returncode in (1, 2)
    assert len(found.stderr.splitlines()) >= 1
    assert "rror" in found.stderr
