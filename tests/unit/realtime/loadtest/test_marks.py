import json

import pytest

from realtime.loadtest.marks import find_mark, make_mark


def test_a_mark_survives_what_a_gateway_wraps_around_it():
    text = make_mark("run", "r1-2", 7, size=100)
    wrapped = json.dumps({"type": "chat", "content": text, "data": {"stream": {"name": "user"}}}).encode()
    mark = find_mark(wrapped)
    assert mark is not None
    assert (mark.run, mark.stream, mark.sequence) == (b"run", b"r1-2", 7)
    assert len(text) == 100


@pytest.mark.parametrize("payload", [b"", b'{"type":"pong"}', b"@lt:", b"@lt:a:b@", b"@lt:a:b:c:d@", b"@lt:a:b:1:2"])
def test_anything_else_is_no_mark(payload):
    assert find_mark(payload) is None
