"""HTTP compression in both directions, piece by piece: gzip, deflate, br, zstd, lz4 frames, xz and bz2."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import brotli
import lz4.frame
import zstandard

from orchestration.warehouse.server.errors import ServerError

# The order in which ClickHouse picks among what a client accepts.
_PREFERENCE = ("br", "lz4", "gzip", "deflate", "xz", "zstd", "bz2")


# How much is decoded at once, which most methods blow up to some megabytes at worst, and how much is handed on.
_SLICE_BYTES = 1 << 10
_PIECE_BYTES = 1 << 20


class Encoder(Protocol):
    """Turns pieces of a body into pieces of its compressed form; each piece can be decoded when it arrives."""

    def encode(self, data: bytes) -> bytes:
        """The compressed form of the next piece."""

    def finish(self) -> bytes:
        """What ends the stream."""


class Decoder(Protocol):
    """Turns pieces of a compressed body into its bytes."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The bytes that this piece completes, in pieces of some size: a little may stand for very much. Raises for broken
        input."""

    def finish(self) -> None:
        """Raise when the stream ended too early."""


def choose_encoding(accepted: str) -> str | None:
    """The encoding to answer with, of the value of Accept-Encoding; None for none of ours."""
    names = {part.split(";")[0].strip().lower() for part in accepted.split(",") if _weight(part) > 0}
    return next((name for name in _PREFERENCE if name in names or (name == "gzip" and "x-gzip" in names)), None)


def _weight(part: str) -> float:
    """The q-value of one part of Accept-Encoding: `gzip;q=0` means that gzip is not wanted."""
    for parameter in part.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def encoder(name: str, level: int) -> Encoder:
    """An encoder for a name that `choose_encoding` gave; `level` as http_zlib_compression_level."""
    return _ENCODERS[name](level)


def decoder(name: str) -> Decoder:
    """A decoder for a Content-Encoding. Raises ServerError 89 for one that is not known."""
    made = _DECODERS.get(name.strip().lower())
    if made is None:
        raise ServerError(89, "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method '{name}'.")
    return made()


class _ZlibEncoder:
    def __init__(self, level: int, window: int):
        self._stream = zlib.compressobj(level, zlib.DEFLATED, window)

    def encode(self, data: bytes) -> bytes:
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush()


class _BlockwiseEncoder:
    """xz and bz2 cannot be flushed in mid-stream, but may be several streams in a row: each piece is one."""

    def __init__(self, compress: Callable[[bytes], bytes]):
        self._compress = compress

    def encode(self, data: bytes) -> bytes:
        return self._compress(data) if data else b""

    def finish(self) -> bytes:
        return b""


class _BrotliEncoder:
    def __init__(self, level: int):
        self._stream = brotli.Compressor(quality=level)

    def encode(self, data: bytes) -> bytes:
        return self._stream.process(data) + self._stream.flush()

    def finish(self) -> bytes:
        return self._stream.finish()


class _ZstdEncoder:
    def __init__(self, level: int):
        self._stream = zstandard.ZstdCompressor(level=level).compressobj()

    def encode(self, data: bytes) -> bytes:
        return self._stream.compress(data) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._stream.flush()


class _Lz4Encoder:
    def __init__(self, level: int):
        self._stream = lz4.frame.LZ4FrameCompressor(auto_flush=True)
        self._head = self._stream.begin()

    def encode(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + self._stream.compress(data)

    def finish(self) -> bytes:
        head, self._head = self._head, b""
        return head + self._stream.flush()


class _MembersDecoder:
    """Decodes streams that may be several compressed members in a row, with objects that know `eof`/`unused_data`."""

    def __init__(self, make: Callable, code: int, name: str):
        self._make, self._code, self._name = make, code, name
        self._stream: Any = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        waiting = bytearray()
        for start in range(0, len(data), _SLICE_BYTES):
            for piece in self._decode_slice(data[start : start + _SLICE_BYTES]):
                waiting += piece
                if len(waiting) >= _PIECE_BYTES:
                    yield bytes(waiting)
                    waiting.clear()
        if waiting:
            yield bytes(waiting)

    def _decode_slice(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._stream is None:
                    self._stream = self._make()
                yield self._stream.decompress(data)
                while getattr(self._stream, "has_more", False):
                    yield self._stream.decompress(b"")
                data = self._stream.unused_data if self._stream.eof else b""
                if self._stream.eof:
                    self._stream = None
        except (
            zlib.error,
            RuntimeError,
            zstandard.ZstdError,
            brotli.error,
            EOFError,
            OSError,
            lzma.LZMAError,
        ) as error:
            raise self._broken(str(error)) from None

    def finish(self) -> None:
        if self._stream is not None:
            raise self._broken("the stream ends too early")

    def _broken(self, reason: str) -> ServerError:
        return ServerError(self._code, self._name, f"Cannot decompress the request's body: {reason}.")


class _LimitedStream:
    """xz or bz2, which can be told how much to give at once."""

    def __init__(self, stream: lzma.LZMADecompressor | bz2.BZ2Decompressor):
        self._stream = stream

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    @property
    def has_more(self) -> bool:
        return not self._stream.eof and not self._stream.needs_input

    def decompress(self, data: bytes) -> bytes:
        return self._stream.decompress(data, _PIECE_BYTES)


class _BrotliStream:
    unused_data = b""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self._gave = False

    @property
    def eof(self) -> bool:
        return self._stream.is_finished()

    @property
    def has_more(self) -> bool:
        # It says that it takes more also while it still has something to give.
        return self._gave and not self.eof

    def decompress(self, data: bytes) -> bytes:
        found = self._stream.process(data, output_buffer_limit=_PIECE_BYTES)
        self._gave = bool(found)
        return found


_ENCODERS: dict[str, Callable[[int], Encoder]] = {
    "br": lambda level: _BrotliEncoder(min(level, 11)),
    "lz4": _Lz4Encoder,
    "gzip": lambda level: _ZlibEncoder(min(level, 9), 31),
    "deflate": lambda level: _ZlibEncoder(min(level, 9), 15),
    "zstd": _ZstdEncoder,
    "xz": lambda level: _BlockwiseEncoder(lambda data: lzma.compress(data, preset=min(level, 9))),
    "bz2": lambda level: _BlockwiseEncoder(lambda data: bz2.compress(data, max(1, min(level, 9)))),
}
_DECODERS: dict[str, Callable[[], Decoder]] = {
    "br": lambda: _MembersDecoder(_BrotliStream, 448, "BROTLI_READ_FAILED"),
    "lz4": lambda: _MembersDecoder(lz4.frame.LZ4FrameDecompressor, 618, "LZ4_DECODER_FAILED"),
    "gzip": lambda: _MembersDecoder(lambda: zlib.decompressobj(31), 354, "ZLIB_INFLATE_FAILED"),
    "x-gzip": lambda: _MembersDecoder(lambda: zlib.decompressobj(31), 354, "ZLIB_INFLATE_FAILED"),
    "deflate": lambda: _MembersDecoder(lambda: zlib.decompressobj(15), 354, "ZLIB_INFLATE_FAILED"),
    "zstd": lambda: _MembersDecoder(lambda: zstandard.ZstdDecompressor().decompressobj(), 561, "ZSTD_DECODER_FAILED"),
    "xz": lambda: _MembersDecoder(lambda: _LimitedStream(lzma.LZMADecompressor()), 543, "LZMA_STREAM_DECODER_FAILED"),
    "bz2": lambda: _MembersDecoder(lambda: _LimitedStream(bz2.BZ2Decompressor()), 614, "BZIP2_STREAM_DECODER_FAILED"),
}
