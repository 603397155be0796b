import hashlib
import http.server
import threading

import pytest

from stylegan_eval.errors import UserError
from stylegan_eval.networks.weights import fetch

CONTENT = bytes(range(256)) * 9000  # more than one chunk
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/absent.pth":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.path == "/cut.pth" else CONTENT)
        self.server.served.append(self.path)

    def log_request(self, *args):
        pass

    def log_error(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.served = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server, tmp_path, capsys):
    folder = tmp_path / "hub" / "checkpoints"
    paths = {fetch(f"{server.url}/good.pth", SHA256, folder=folder) for _ in range(3)}
    assert paths == {folder / "good.pth"}
    assert (folder / "good.pth").read_bytes() == CONTENT
    assert server.served == ["/good.pth"]
    output = capsys.readouterr()
    assert output.out == ""
    assert "good.pth" in output.err


def test_files_live_where_pytorch_keeps_its_own(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = fetch(f"{server.url}/good.pth", SHA256)
    assert path == tmp_path / "hub" / "checkpoints" / "good.pth"


@pytest.mark.parametrize("name", ["good.pth", "cut.pth"])
def test_another_digest_is_refused_and_nothing_left(server, tmp_path, name):
    expected = SHA256 if name == "cut.pth" else "0" * 64
    with pytest.raises(UserError) as caught:
        fetch(f"{server.url}/{name}", expected, folder=tmp_path)
    if name == "good.pth":
        assert SHA256 in str(caught.value)
    assert expected in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_copy_is_noticed(server, tmp_path):
    path = fetch(f"{server.url}/good.pth", SHA256, folder=tmp_path)
    path.write_bytes(b"changed")
    changed = hashlib.sha256(b"changed").hexdigest()
    with pytest.raises(UserError, match=f"{changed}, expected {SHA256}: delete"):
        fetch(f"{server.url}/good.pth", SHA256, folder=tmp_path)
    assert path.read_bytes() == b"changed"


def test_an_absent_file_is_refused_and_nothing_left(server, tmp_path):
    with pytest.raises(UserError, match="Not Found"):
        fetch(f"{server.url}/absent.pth", SHA256, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_offline_says_what_to_put_where(server, tmp_path):
    url = f"{server.url}/good.pth"
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError) as caught:
        fetch(url, SHA256, advice="use something else", folder=tmp_path)
    message = str(caught.value)
    for part in (url, SHA256, str(tmp_path / "good.pth"), "use something else"):
        assert part in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(server, tmp_path):
    (tmp_path / "blocked").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write"):
        fetch(f"{server.url}/good.pth", SHA256, folder=tmp_path / "blocked")
