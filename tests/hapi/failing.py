"""A door before a FHIR server that shuts for good after some requests: a server that goes down in the middle."""

from __future__ import annotations

import contextlib
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSED_ON = ("Content-Type", "Accept", "Cache-Control")


class Door(ThreadingHTTPServer):
    """Passes `lives` requests of some methods on; from then on it hangs up on every request."""

    daemon_threads = True

    def __init__(self, behind: str, lives: int, counted: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind.removesuffix("/fhir")
        self.lives = lives
        self.counted = counted
        self.lock = threading.Lock()

    @property
    def base(self) -> str:
        """The FHIR base URL to be used in place of the server's own."""
        return f"http://127.0.0.1:{self.server_port}/fhir"

    def lets_pass(self, method: str) -> bool:
        """Count a request; False when the door is shut."""
        with self.lock:
            if self.lives > 0 and method == self.counted:
                self.lives -= 1
                return True
            return self.lives > 0


class _Handler(BaseHTTPRequestHandler):
    server: Door

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _pass_on(self) -> None:
        if not self.server.lets_pass(self.command):
            self.close_connection = True
            return
        data = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        headers["Host"] = self.headers["Host"]
        request = urllib.request.Request(f"{self.server.behind}{self.path}", data, headers, method=self.command)
        try:
            answer = urllib.request.urlopen(request, timeout=300)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            body = answer.read()
            self.send_response(answer.status)
            for name in ("Content-Type", "Date", "Location"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815


@contextlib.contextmanager
def door(behind: str, lives: int, counted: str) -> Iterator[Door]:
    """Open a door for the time of the block."""
    made = Door(behind, lives, counted)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
        thread.join()
