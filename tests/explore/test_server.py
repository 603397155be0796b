"""`stylegan-explore`: where it listens, whom it answers, what it refuses."""

import http.client
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from urllib.parse import quote, urlsplit

import pytest
from click.testing import CliRunner

from stylegan.explore.command import listen, main
from stylegan_eval.errors import UserError
from tests.explore.networks import write_attributes
from tests.explore.served import serving, stop

GREETING = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
WEBSOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"


def ask(url, path, **headers):
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port)
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    body = b"" if answer.status == 101 else answer.read()
    connection.close()
    return answer, body


def test_a_stop_amid_requests_is_one_line():
    with serving("--ckpt", "demo", "--device", "cpu") as (process, url), ExitStack() as opened:
        for _ in range(4):
            asked = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
            opened.enter_context(asked)
            asked.send(b"GET /grid?seeds=0-400 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert ask(url, "/image?recipe=")[0].status == 200  # and so the others have been taken
        assert stop(process, signal.SIGINT) == (130, "interrupted\n")


def test_it_says_what_it_shows_and_where(served):
    assert served.startswith("http://127.0.0.1:")
    answer, body = ask(served, "/")
    assert answer.status == 200
    assert b"stylegan-explore" in body
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Host": "evil.example"}, 400),
        ({"Host": "127.0.0.1.evil.example"}, 400),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "localhost", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
        ({"Host": "localhost", "Origin": "null"}, 403),
        ({"Host": "localhost", "Origin": "http://["}, 403),
        ({"Host": "localhost", "Origin": "http://[x]:y"}, 403),
        ({"Host": "localhost", "Origin": ""}, 403),
        ({"Host": "["}, 400),
    ],
)
@pytest.mark.parametrize("path", ["/", "/image?recipe=", WEBSOCKET])
def test_only_its_own_names_and_its_own_pages_are_answered(headers, status, path, served):
    greeting = GREETING if path == WEBSOCKET else {}
    expected = 101 if greeting and status == 200 else status
    answer, _ = ask(served, path, **headers, **greeting)
    assert answer.status == expected


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("--seed x", "--seed"),
        ("--seed", "--seed"),
        ("'", "quotation"),
        ("--mix 8:0-8", "layers 0 to 7"),
        ("--move bald=1", "eyeglasses, smiling"),
        ("--ckpt demo", "--ckpt"),
        ("--help", "--help"),
        ("--psi 9e99", "100"),
        ("--psi nan", "finite"),
        ("--move smiling=9e99", "1000"),
        ("--seed 18446744073709551616", "--seed"),
    ],
)
def test_an_image_that_cannot_be_drawn_is_refused_in_a_line(recipe, message, served):
    answer, body = ask(served, "/image?recipe=" + quote(recipe))
    assert answer.status == 400
    assert message in body.decode()
    assert body.count(b"\n") == 1


def test_a_port_in_use_is_told_before_anything_is_read(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        missing = tmp_path / "missing.pt"
        result = CliRunner().invoke(main, ["--ckpt", str(missing), "--port", str(port)])
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: port {port} is in use: choose another with --port, or any free one with --port 0\n"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--ckpt {tmp}/missing.pt", "does not exist"),
        ("--ckpt {F} --directions {tmp}/missing", "no such file"),
        ("--ckpt {F} --directions {other}", "sha256"),
        ("--ckpt {A} --directions {directions}", "no mapping network"),
        ("--ckpt {F} --device gpu", "--device"),
        ("--ckpt {F} --host a..b", "--host"),
        ("--ckpt {F} --host 192.0.2.1", "--host"),
        ("--ckpt {F} --ckpt {tmp}/missing.pt", "missing.pt"),
        ("--ckpt {F} --ckpt {directions}", "directions"),
    ],
)
def test_what_cannot_be_shown_is_told_in_one_line(args, message, files, tmp_path):
    other = write_attributes(tmp_path / "other", files["growing"])
    words = args.format(**files, tmp=tmp_path, other=other).split()
    result = CliRunner().invoke(main, ["--port", "0", *words])
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--ckpt {A} --ckpt {F} --ckpt {growing}", "--ckpt is given 3 times: at most two"),
        ("--ckpt {F} --ckpt {F}", "is given twice"),
        ("--ckpt {F} --ckpt {copy}", "are the same network"),
    ],
)
def test_only_two_networks_that_differ_are_compared(args, message, files, tmp_path):
    copy = shutil.copy(files["F"], tmp_path / "copy.safetensors")
    words = args.format(**files, copy=copy).split()
    result = CliRunner().invoke(main, ["--port", "0", *words])
    assert result.exit_code == 2, result.output
    *_, line = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line


def test_another_host_is_served_with_a_warning():
    with listen("0.0.0.0", 0) as everywhere:
        (line,) = everywhere.warnings()
        assert line.startswith("warning: ")
        assert (everywhere.hosts, everywhere.url) == (
            ["*"],
            f"http://127.0.0.1:{everywhere.port}/",
        )
    with listen("localhost", 0) as here:
        assert list(here.warnings()) == []
        assert {"localhost", "127.0.0.1"} <= set(here.hosts)
        assert "*" not in here.hosts


def test_a_port_is_free_again_at_once():
    with listen("127.0.0.1", 0) as first:
        port = first.port
        with pytest.raises(UserError, match="in use"), listen("127.0.0.1", port):
            pass
    with listen("127.0.0.1", port) as second:
        assert second.port == port


def test_without_the_extra_it_says_what_to_install():
    program = "import sys; sys.modules['nicegui'] = None\n"
    program += "from stylegan.explore.command import main; main(['--ckpt', 'demo'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "error: the page needs the package nicegui, which is not installed:"
        ' pip install ".[explore]" in the source folder\n'
    )
