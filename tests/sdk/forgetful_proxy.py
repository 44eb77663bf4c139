"""A network that loses the answer to the first request, after the server has given it."""

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx


class ForgetfulProxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream
        self.client = httpx.Client(timeout=60)
        self.statuses = []  # what the server answered, in order; the first was never relayed

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        answer = self.server.client.request(
            self.command,
            self.server.upstream + self.path,
            headers={k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")},
            content=self.rfile.read(int(self.headers.get("content-length", 0))),
        )
        self.server.statuses.append(answer.status_code)
        if len(self.server.statuses) == 1:
            self.close_connection = True
            return
        self.send_response(answer.status_code)
        for name in ("content-type", "x-should-retry"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = forward

    def log_message(self, *_):
        pass


@contextmanager
def running_forgetful_proxy(upstream: str):
    with ForgetfulProxy(upstream) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            proxy.client.close()
