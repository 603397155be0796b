"""What the commands say on a terminal, in a pipe, and under --quiet."""

import json
import os
import pty
import subprocess
import sys
import termios
import zipfile

import click
import pytest
from click.testing import CliRunner

import benchmarks.__main__
import stylegan.convert
import stylegan.data
import stylegan.explore.command
import stylegan.sample.cli
import stylegan.train
import stylegan_eval.cli
from stylegan_eval.engine.options import Number

COMMANDS = {
    "benchmarks": benchmarks.__main__.main,
    "stylegan-convert": stylegan.convert.main,
    "stylegan-data": stylegan.data.main,
    "stylegan-eval": stylegan_eval.cli.main,
    "stylegan-explore": stylegan.explore.command.main,
    "stylegan-sample": stylegan.sample.cli.main,
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


@pytest.mark.parametrize("name", ALL)
def test_numbers_are_finite_and_seeds_are_seeds(name):
    """Click's own range of numbers takes NaN; too large a seed breaks what draws from it."""
    for param in ALL[name].params:
        values = ["nan", "inf", "-inf", "1e999"] if is_range(param.type) else []
        if any("seed" in word or word in ("sources", "destinations") for word in param.opts):
            values = [str(2**64), "²", "-1", "9" * 5000, "0x1"]
            if type(param.type) is type(click.INT):  # checked with the rest of its settings
                continue
        for value in values:
            with pytest.raises(click.UsageError):
                param.type_cast_value(click.Context(ALL[name]), cast(param, value))


def is_range(kind):
    return isinstance(kind, click.FloatRange)


def cast(param, value):
    return [value] if param.multiple else value


@pytest.mark.parametrize("psi", ["9e99", "1e38", "nan", "101"])
def test_a_psi_that_overflows_is_refused_by_every_command(psi, tmp_path):
    takes = [name for name, command in ALL.items() if "psi" in {p.name for p in command.params}]
    assert len(takes) >= 12
    for name in takes:
        command = ALL[name]
        (param,) = (param for param in command.params if param.name == "psi")
        if isinstance(param.type, Number):
            with pytest.raises(click.UsageError):
                param.type_cast_value(click.Context(command), psi)
            continue
        group, *words = name.split()
        done = CliRunner().invoke(COMMANDS[group], [*words, "--psi", psi, "--ckpt", "demo"])
        assert done.exit_code == 1
        assert done.stderr.startswith("error: --psi must be -100 to 100"), done.stderr


ESCAPE = "\x1b]0;owned\x07\x1b[2J"


def test_names_of_strangers_do_not_command_the_terminal(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{ESCAPE}.png", b"no image")
        file.writestr("b.png", b"none either")
    folder = tmp_path / f"{ESCAPE}x"
    folder.mkdir()
    (folder / f"{ESCAPE}y.png").write_bytes(b"no image")
    config = tmp_path / "c.json"
    config.write_text(json.dumps({ESCAPE: 1}))
    table = tmp_path / f"{ESCAPE}.csv"
    table.write_text("a,b\n")
    out = tmp_path / "o.zip"
    for command, *words in [
        ("stylegan-data", "prepare", archive, out, "--dry-run"),
        ("stylegan-data", "prepare", archive, out),
        ("stylegan-data", "prepare", folder, out),
        ("stylegan-data", "inspect", folder),
        ("stylegan-eval", "fid", "--images", archive, "--data", folder),
        ("stylegan-eval", "compare", table, table),
        ("stylegan-train", "--config", config, "--data", archive, "--dry-run"),
    ]:
        done = CliRunner().invoke(COMMANDS[command], [str(word) for word in words])
        assert done.output.strip(), words
        assert not set("\x1b\x07") & set(done.output), words


@pytest.mark.parametrize("name", ALL)
def test_every_command_answers_to_h_and_version(name, tmp_path):
    group, *words = name.split()
    shown = [CliRunner().invoke(COMMANDS[group], [*words, flag]) for flag in ("-h", "--help")]
    assert shown[0].output == shown[1].output
    assert shown[0].output.startswith("Usage:")
    done = CliRunner().invoke(COMMANDS[group], [*words, "--version"], prog_name=group)
    assert done.exit_code == 0
    assert done.output == f"{group} {stylegan.__version__}\n"


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
    monkeypatch.delenv("STYLEGAN_CACHE", raising=False)


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


LASTING = """
import sys
from stylegan_eval.engine.progress import lasting_stderr, progress_bar
with lasting_stderr():
    bar = progress_bar(total=3, desc="\u00e9")
    print("begun", file=sys.stderr, flush=True)
    input()
    for _ in range(3):
        print("a line that nobody reads", file=sys.stderr)
        bar.update()
    bar.close()
print("done")
"""


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_work_outlives_who_reads_its_progress(kind):
    """As `tee` that dies of a Ctrl-C, and as a connection that breaks."""
    reader, writer = os.pipe() if kind == "pipe" else pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", LASTING],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writer, text=True,
        start_new_session=True,
    )  # fmt: skip
    os.close(writer)
    seen = b""
    while b"begun" not in seen:
        seen += os.read(reader, 4096)
    os.close(reader)
    assert process.communicate("\n")[0] == "done\n"
    assert process.returncode == 0
