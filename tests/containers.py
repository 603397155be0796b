"""A Dockerfile carried out without Docker: its steps in a file system of their own over this one.

What cannot be had here is played by this machine: the base image by its Python, and packages from
the network by those installed. The rest is real: the files that are copied, the commands as they
stand, the users, and process 1 of a namespace.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# pip takes 0 to mean "no isolation"; the machine's Python may have this project installed already.
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_FORCE_REINSTALL": "1",
}
PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NEW = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
OVERLAY = """
mount -t overlay overlay -o lowerdir=/,upperdir={files},workdir={work} {root}
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
{limits}
ip link set lo up
exec chroot {root} {command}
"""


def namespaces() -> bool:
    """Whether this process may mount, and start process 1 of a namespace."""
    if shutil.which("unshare") is None:
        return False
    test = [*NEW, "sh", "-c", "mount -t tmpfs none /mnt && ip link set lo up"]
    return subprocess.run(test, capture_output=True, check=False).returncode == 0


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Name and rest of each instruction, with its lines joined."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        yield name, rest.strip()


@dataclass
class Image:
    """The file system over this machine's, and what the instructions said for commands."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0"
    workdir: str = "/"
    command: Sequence[str] = ()

    @property
    def files(self) -> Path:
        """Files that differ from the base."""
        return self.folder / "files"

    def start(
        self,
        command: Sequence[str],
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[str, Path] | None = None,
    ) -> "subprocess.Popen[str]":
        """Start a command as process 1; on `mounts` alone can be written if there are any."""
        root, work = self.folder / "root", self.folder / "work"
        for path in (self.files, work, root):
            path.mkdir(parents=True, exist_ok=True)
        values = {"PATH": PATH, "OMP_NUM_THREADS": "1", **self.environment, **(environment or {})}
        user = user or self.user
        words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        words += ["env", "-i", f"--chdir={self.workdir}", *(f"{k}={v}" for k, v in values.items())]
        for place in mounts or ():
            (self.files / place[1:]).mkdir(parents=True, exist_ok=True)
        limits = [f"mount -o remount,ro {root}"] if mounts is not None else []
        binds = [f"mount --bind {path} {root}{place}" for place, path in (mounts or {}).items()]
        # This machine's Python plays the image's, wherever it is: also below a place of `mounts`.
        if any(Path(sys.prefix).is_relative_to(place) for place in mounts or ()):
            kept = self.folder / "python"
            kept.mkdir(exist_ok=True)
            binds = [f"mount --bind {root}{sys.prefix} {kept}", *binds]
            binds += [f"mkdir -p {root}{sys.prefix}", f"mount --bind {kept} {root}{sys.prefix}"]
        limits += binds
        words = shlex.join([*words, *command])
        places = {"files": self.files, "work": work, "root": root}
        script = OVERLAY.format(**places, limits="\n".join(limits), command=words)
        return subprocess.Popen(
            [*NEW, "sh", "-euc", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: Sequence[str], **options: object) -> str:
        """Run a command to its end; its output."""
        process = self.start(command, **options)
        stdout, stderr = process.communicate()
        assert process.returncode == 0, f"{command}: {stdout[-2000:]} {stderr[-4000:]}"
        return stdout


def admitted(folder: Path, ignore: str) -> Iterator[Path]:
    """What a .dockerignore that begins with ``*`` lets in."""
    everything, *lines = [line for line in ignore.splitlines() if line and line[0] != "#"]
    assert everything == "*"
    for line in lines:
        if line.startswith("!"):
            yield folder / line[1:]
        else:
            assert line.startswith("**/")


def build(dockerfile: Path, folder: Path, arguments: Mapping[str, str]) -> Image:
    """Carry out the instructions of all stages; the image of the last one."""
    context = dockerfile.parent
    ignore = dockerfile.with_name(".dockerignore").read_text()
    patterns = [line[3:] for line in ignore.splitlines() if line.startswith("**/")]
    there = set(admitted(context, ignore))
    stages: dict[str, Image] = {}
    image, values = Image(folder), {}
    for name, rest in instructions(dockerfile.read_text()):
        if name == "FROM":
            base, _, stage = rest.partition(" AS ")
            assert re.fullmatch(r"python:\$\{PYTHON\}-slim", base)
            image, values = Image(folder / (stage or "final")), {}
            stages[stage or "final"] = image
            python = Path(sys.executable)
            for path in (Path("/etc"), *python.parents, *python.resolve().parents):
                (image.files / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
                (image.files / path.relative_to("/")).chmod(0o755)  # for all users
            # The base knows no other user; this machine may.
            (image.files / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
            (image.files / "etc" / "group").write_text("root:x:0:\n")
        elif name == "ARG":
            key, _, value = rest.partition("=")
            values[key] = arguments.get(key, value)
        elif name == "WORKDIR":
            image.workdir = rest
            (image.files / rest[1:]).mkdir(parents=True, exist_ok=True)
        elif name == "ENV":
            image.environment |= dict(word.split("=", 1) for word in shlex.split(rest))
        elif name == "USER":
            image.user = rest
        elif name == "CMD":
            image.command = [word.strip(' "') for word in rest.strip("[]").split(",")]
        elif name == "COPY":
            _copy(rest, image, stages, there, patterns)
        elif "--index-url" not in rest:  # else of the network alone
            assert name == "RUN"
            image.run(["sh", "-c", rest], environment={**OFFLINE, **values, "HOME": "/root"})
    return image


def _copy(
    rest: str, image: Image, stages: Mapping[str, Image], there: set[Path], patterns: Sequence[str]
) -> None:
    *sources, target = rest.split()
    to = image.files / Path(image.workdir, target).relative_to("/")
    if sources[0].startswith("--from="):
        shutil.copytree(stages[sources[0][7:]].files / sources[1][1:], to)
        return
    by_name = {path.name: path for path in there}
    for name in sources:
        path = by_name[name]  # KeyError: not let in
        if path.is_dir():
            shutil.copytree(path, to, ignore=shutil.ignore_patterns(*patterns))
        else:
            shutil.copy(path, to)
