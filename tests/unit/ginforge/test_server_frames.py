from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from ginforge.server import frames


def parsed(data: bytes) -> Frame:
    reader = StreamReader()
    reader.feed_data(data)
    parser = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as done:
        next(parser)
    frame: Frame = done.value.value
    return frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 1_000_000])
def test_another_library_reads_a_frame_of_every_length_encoding(size: int) -> None:
    assert parsed(frames.text_frame(b"x" * size)) == Frame(Opcode.TEXT, b"x" * size)
    assert parsed(frames.binary_frame(b"x" * size)) == Frame(Opcode.BINARY, b"x" * size)


def test_pings_and_pongs_are_what_another_library_reads() -> None:
    assert parsed(frames.PING) == Frame(Opcode.PING, b"")
    assert parsed(frames.pong_frame(b"abc")) == Frame(Opcode.PONG, b"abc")


@given(st.text())
def test_a_close_frame_never_exceeds_a_control_frame_and_keeps_whole_characters(reason: str) -> None:
    frame = parsed(frames.close_frame(4000, reason))
    assert frame.opcode is Opcode.CLOSE
    assert len(frame.data) <= 125
    assert reason.startswith(bytes(frame.data[2:]).decode())


def test_a_close_frame_without_a_code_is_empty() -> None:
    assert parsed(frames.close_frame(None)) == Frame(Opcode.CLOSE, b"")


@pytest.mark.parametrize("code", [999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_may_not_stand_in_a_frame_are_known(code: int) -> None:
    assert not frames.is_sendable(code)


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_codes_that_may_stand_in_a_frame_are_known(code: int) -> None:
    assert frames.is_sendable(code)


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=3000))
def test_unmasking_undoes_masking(key: bytes, payload: bytes) -> None:
    masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    assert frames.unmask(key, masked) == payload
