"""``upload.import``: a long task that tells its user how far it is. Take it as a model for your own."""

from __future__ import annotations

import hashlib
import time

from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from ginforge.worker.arguments import UploadImport
from ginforge.worker.conf import get_settings
from ginforge.worker.progress import Progress
from ginforge.worker.runner import Running


def import_upload(arguments: UploadImport, running: Running) -> None:
    """Read an upload to its end, compute its SHA-256, and tell the user all the way."""
    file, size = import_string(get_settings().open_upload)(arguments.upload_id)
    digest = hashlib.sha256()
    with file:
        progress = _progress(arguments, running, size)
        while chunk := file.read(arguments.chunk):
            digest.update(chunk)
            progress.advance(len(chunk))
            time.sleep(arguments.pause)
    body = _("%(name)s was processed (%(size)d bytes).") % {"name": arguments.upload_id, "size": size}
    progress.finish(_("Upload complete"), body, data={"sha256": digest.hexdigest(), "size": size})


def give_up(arguments: UploadImport, running: Running, _reason: str) -> None:
    """Tell the user that it failed."""
    body = _("%(name)s could not be processed.") % {"name": arguments.upload_id}
    _progress(arguments, running, 0).fail(_("Upload failed"), body)


def _progress(arguments: UploadImport, running: Running, size: int) -> Progress:
    return Progress(str(arguments.user_id), running.key, total=size, label=arguments.upload_id)
