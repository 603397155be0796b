"""The Dockerfile, `docker run` and the pod of the documents, in namespaces of this machine."""

import configparser
import os
import re
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.kill_trial import descendants
from stylegan.checkpoint import checkpoints_in, newest_checkpoint, read_checkpoint
from stylegan.datasets.archive import write_archive
from tests.containers import Image, build, instructions, namespaces
from tests.documents import block, indented, smaller

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile"
PAGE = ROOT / "docs" / "clusters.md"
needs_namespaces = pytest.mark.skipif(not namespaces(), reason="no namespaces, or no root, here")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    probe = Image(folder / "probe").start(["true"])
    _, stderr = probe.communicate()
    if probe.returncode != 0:
        pytest.skip(f"no overlay of file systems here: {stderr.strip()}")
    return build(DOCKERFILE, folder, {})


@pytest.fixture
def places(tmp_path):
    """Folders that any user may write to, by name."""

    def make(*names):
        paths = {name: tmp_path / name.strip("/").replace("/", "-") for name in names}
        for path in paths.values():
            path.mkdir(exist_ok=True)
            path.chmod(0o1777)
        return paths

    return make


def test_what_builds_the_image_is_pinned_as_for_the_tests():
    text = DOCKERFILE.read_text()
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    for requirement in tox["testenv:main"]["deps"].split():
        assert f" {requirement}" in text
    arguments = dict(
        rest.split("=") for name, rest in instructions(text) if name == "ARG" and "=" in rest
    )
    named = re.findall(r"--build-arg (\w+)=", text + PAGE.read_text(encoding="utf-8"))
    assert named
    assert set(named) <= set(arguments)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert set(arguments["EXTRAS"].split(",")) <= set(setup["options.extras_require"])


@needs_namespaces
def test_every_command_is_there_for_a_user_without_name_and_home(image, places):
    """On a root that cannot be written to, and without the source."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    names = [line.partition(" =")[0] for line in scripts if line]
    assert len(names) == 6
    helps = " && ".join(f"{name} --help" for name in names)
    where = 'python -c "import stylegan; print(stylegan.__file__)"'
    out = image.run(
        ["sh", "-c", f"id -u && touch /x || {where} && {helps} && {shlex.join(image.command)}"],
        user="54321",
        environment={"HOME": "/nonexistent"},
        mounts=places("/cache", "/workspace", "/tmp", "/dev/shm"),
    )
    assert out.startswith("54321\n/")
    assert str(ROOT / "stylegan") not in out  # the environment may lie below it
    assert re.findall(r"Usage: (\S+)", out) == [*names, "stylegan-train"]


@needs_namespaces
def test_a_container_that_is_stopped_saves_and_a_pod_continues_it(image, places):
    (volume,) = places("volume").values()
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    write_archive(volume / "ffhq.zip", ((each, None) for each in images))
    (volume / "ffhq.zip").chmod(0o644)
    run = volume / "runs" / "ffhq"

    (command,) = [line for line in indented(PAGE) if line.startswith("docker run")]
    words = shlex.split(command)
    seconds = int(words[words.index("--stop-timeout") + 1])
    assert words[words.index("-v") + 1] == "$PWD:/workspace"
    inside = smaller(words[words.index("stylegan") + 1 :])
    mounts = {**places("/cache", "/tmp", "/dev/shm"), "/workspace": volume}
    with image.start([*inside, "--kimg", "1000", "--warmup", "0"], mounts=mounts) as container:
        while not (run.is_dir() and len(checkpoints_in(run)) > 1):
            assert container.poll() is None, container.stderr.read()
            time.sleep(0.05)
        os.kill(descendants(container.pid)[0], signal.SIGTERM)  # number 1
        _, stderr = container.communicate(timeout=seconds)
    assert container.returncode == 128 + signal.SIGTERM, stderr
    assert "stopped by signal 15" in stderr
    saved = read_checkpoint(newest_checkpoint(run)).nimg
    assert saved > 0

    job = list(yaml.safe_load_all(block(PAGE, "yaml")))[1]["spec"]["template"]["spec"]
    (pod,) = job["containers"]
    user = str(job["securityContext"]["runAsUser"])
    assert pod["securityContext"]["readOnlyRootFilesystem"]
    assert f"--uid {user} " in DOCKERFILE.read_text()
    assert {mount["name"] for mount in pod["volumeMounts"]} == {v["name"] for v in job["volumes"]}
    paths = {mount["name"]: mount["mountPath"] for mount in pod["volumeMounts"]}
    mounts = places(*paths.values()) | {paths["data"]: volume}
    kimg = str((saved + 64) / 1000)
    image.run([*pod["command"], *smaller(pod["args"]), "--kimg", kimg], user=user, mounts=mounts)
    assert read_checkpoint(newest_checkpoint(run)).nimg >= saved + 64
    assert f"from kimg {saved / 1000:.1f}" in (run / "train.log").read_text()
    assert len(checkpoints_in(run)) > 1
