"""A headless Chromium driven through its debugging pipe: a page's errors, requests and contents."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from importlib.resources import files

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATH = next((path for path in map(shutil.which, NAMES) if path), None)
PATIENCE = 60  # seconds for what takes a fraction of one
# Gives Chromium the two ends of the pipe under the numbers that it expects.
_START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for number, end in zip((3, 4), ends):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""

_AXE = """axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']}).then(
  ({violations}) => violations.flatMap(({id, nodes}) => nodes.map(
    (node) => [id, node.html.slice(0, 200), node.failureSummary])))"""
# Of links, those within a sentence are free of it.
_SMALL = """[...document.querySelectorAll('button, input, select, summary, [role=switch]')].filter(
  (each) => each.checkVisibility()).flatMap((each) => {
    const {width, height} = (each.closest('label') ?? each).getBoundingClientRect();
    return Math.min(width, height) >= 24 ? [] : [['target', each.outerHTML.slice(0, 200),
      `${width} x ${height} pixels`]];
  })"""


class Browser:
    """One browser, one of whose tabs is talked to.

    Attributes
    ----------
    events : list of dict
        What it told without being asked.
    tab : str
        The tab that is talked to.
    """

    def __init__(self, profile):
        to_it, self._write = os.pipe()
        self._read, from_it = os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        options += [f"--user-data-dir={profile}", "--disable-dev-shm-usage", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(to_it), str(from_it), PATH, *options],
            pass_fds=(to_it, from_it),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_it)
        os.close(from_it)
        self._pending, self._count, self.events, self.tab = b"", 0, [], None
        targets = self.ask("Target.getTargets")["targetInfos"]
        self._attach(next(target["targetId"] for target in targets if target["type"] == "page"))

    def close(self):
        with contextlib.suppress(EOFError):  # it may go without an answer
            self.ask("Browser.close")
        self._process.wait(timeout=20)
        os.close(self._write)
        os.close(self._read)

    def ask(self, method, **params):
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self.tab:
            message["sessionId"] = self.tab
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, where):
        """Open a file, by its path, or an address."""
        known = len(self.events)
        self.ask("Page.navigate", url=where if isinstance(where, str) else where.as_uri())
        self.wait_for("Page.loadEventFired", known)

    def wait_for(self, method, known=0, **wanted):
        """Wait for an event of this kind with these parameters; the first `known` do not count."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for event in self.events[known:]:
                params = event.get("params", {})
                if event.get("method") == method and wanted.items() <= params.items():
                    return params
            known = len(self.events)
            self.events.append(self._next(deadline))

    def wait_until(self, script):
        """Wait until a script's value is true, and return that value."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true within {PATIENCE} s: {script}")
            time.sleep(0.02)
        return value

    def new_tab(self):
        """Open another tab and talk to it from now on; `use` goes back by what `tab` was."""
        self.tab = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._attach(target)
        return target

    @contextlib.contextmanager
    def borrowed(self):
        """Talk to a new tab in the block, as if nothing had been before; yields the browser."""
        before, target = self.tab, self.new_tab()
        self.events.clear()
        try:
            yield self
        finally:
            self.tab = None
            self.ask("Target.closeTarget", targetId=target)
            self.tab = before

    def use(self, tab):
        """Talk to another tab, which comes to the front."""
        self.tab = tab
        self.ask("Page.bringToFront")

    def run(self, script):
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def violations(self):
        """What axe-core finds against WCAG 2.1 AA, and controls smaller than WCAG 2.2 AA wants."""
        self.run(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
        answer = self.ask(
            "Runtime.evaluate", expression=_AXE, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"]["value"] + self.run(_SMALL)

    def press(self, key, code=0, *, shift=False, ctrl=False):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                modifiers=2 * ctrl + 8 * shift,
                **text,
            )

    def screenshot(self, path, width, height):
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    @property
    def complaints(self):
        """Errors and warnings of its console, and exceptions."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self.events if event.get("method") in kinds]

    @property
    def requests(self):
        """Addresses that it asked for, data URIs apart."""
        sent = (e for e in self.events if e.get("method") == "Network.requestWillBeSent")
        urls = [event["params"]["request"]["url"] for event in sent]
        return [url for url in urls if not url.startswith("data:")]

    def _attach(self, target):
        self.tab = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def _next(self, deadline):
        while b"\0" not in self._pending:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._read], [], [], left)[0]
            if not ready:
                raise TimeoutError(f"the browser gives no answer within {PATIENCE} s")
            block = os.read(self._read, 1 << 16)
            if not block:
                raise EOFError("the browser is gone")
            self._pending += block
        message, _, self._pending = self._pending.partition(b"\0")
        return json.loads(message)
