"""A file service: ``PUT /api/v1/files/<name>?user=<id>`` stores a file and tells its user how far the upload is."""

import re
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from notifications import NotificationError, send_message, send_notification

CHUNK = 65_536
INTERVAL = 0.5
"""Seconds between two progress messages."""
ROUTE = re.compile(r"/api/v1/files/([A-Za-z0-9_-][A-Za-z0-9._-]{0,199})")


class Upload:
    """One upload on its way, and what its user hears of it."""

    def __init__(self, user: str, name: str, size: int) -> None:
        self.user, self.name, self.size = user, name, size
        self.received, self.told_at = 0, 0.0

    def add(self, count: int) -> None:
        """Count bytes, and tell the user if it is time to."""
        self.received += count
        if time.monotonic() - self.told_at >= INTERVAL:
            self.told_at = time.monotonic()
            self.tell("progress")

    def tell(self, action: str) -> None:
        """Send a ``data_update`` to the user; an upload does not fail because Redis is away."""
        percent = 100 * self.received // self.size if self.size else 100
        content = {"entity": "upload", "action": action, "id": self.name, "data": {"percent": percent}}
        try:
            send_message(self.user, content, type="data_update")
        except NotificationError as error:
            print("progress not sent:", error, file=sys.stderr)


class FileHandler(BaseHTTPRequestHandler):
    """Stores what is PUT."""

    directory: Path

    def do_PUT(self) -> None:
        """Receive a file in chunks."""
        url = urlsplit(self.path)
        route, user = ROUTE.fullmatch(url.path), parse_qs(url.query).get("user", [""])[0]
        length = self.headers.get("Content-Length", "")
        if not (route and user and length.isascii() and length.isdigit()):
            self.send_error(400, "PUT /api/v1/files/<name>?user=<id> with a Content-Length")
            return
        upload = Upload(user, route[1], int(length))
        if not self.receive(upload):
            upload.tell("failed")
            return
        upload.tell("done")
        self.notify(upload)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def receive(self, upload: Upload) -> bool:
        """Write the body to a file that gets its name when it is whole; false when the client has gone."""
        part = self.directory / f".{uuid.uuid4().hex}.part"
        with part.open("wb") as file:
            while upload.received < upload.size:
                chunk = self.rfile.read(min(CHUNK, upload.size - upload.received))
                if not chunk:
                    break
                file.write(chunk)
                upload.add(len(chunk))
        whole = upload.received == upload.size
        if whole:
            part.replace(self.directory / upload.name)
        else:
            part.unlink()
        return whole

    def notify(self, upload: Upload) -> None:
        """Tell the user that the file is there, also if they are away."""
        try:
            send_notification(upload.user, "Upload complete", upload.name, category="upload", durable=True)
        except NotificationError as error:
            print("notification not sent:", error, file=sys.stderr)


if __name__ == "__main__":
    FileHandler.directory = Path(sys.argv[2])
    FileHandler.directory.mkdir(parents=True, exist_ok=True)
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), FileHandler) as server:
        print(f"listening on {server.server_port}", flush=True)
        server.serve_forever()
