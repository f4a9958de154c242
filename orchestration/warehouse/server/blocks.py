"""ClickHouse's own compressed blocks, as `compress=1` sends and `decompress=1` takes them: checksum, method, sizes, data."""

import struct
from collections.abc import Iterator

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from orchestration.warehouse.server.errors import ServerError

# Behind the checksum of 16 bytes: the method, the size of what follows the checksum, the size of the data themselves.
_HEAD = struct.Struct("<BII")
_CHECKSUM = struct.Struct("<QQ")
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
_NAMES = {_NONE: "NONE", _LZ4: "LZ4", _ZSTD: "ZSTD"}
_LIMIT_BYTES = 1 << 30
# No LZ4 stream grows more than this: a size beyond it is a lie, and would only reserve memory.
_LZ4_GROWTH = 255
_BLOCK_BYTES = 1 << 20


class BlockEncoder:
    """Turns pieces of a body into LZ4 blocks of up to a megabyte of data."""

    def encode(self, data: bytes) -> bytes:
        """The blocks of the next piece."""
        return b"".join(_block(data[start : start + _BLOCK_BYTES]) for start in range(0, len(data), _BLOCK_BYTES))

    def finish(self) -> bytes:
        """Nothing: the stream ends with its last block."""
        return b""


class BlockDecoder:
    """Turns pieces of a stream of blocks into its bytes. Raises ServerError for blocks that are broken or cut."""

    def __init__(self, verifies: bool = True):
        self._verifies = verifies
        self._waiting = bytearray()

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The data of each block that this piece completes."""
        self._waiting += data
        start = 0
        while len(self._waiting) - start >= _CHECKSUM.size + _HEAD.size:
            method, compressed, size = _HEAD.unpack_from(self._waiting, start + _CHECKSUM.size)
            _check_sizes(compressed, size)
            end = start + _CHECKSUM.size + compressed
            if len(self._waiting) < end:
                break
            yield self._data(bytes(self._waiting[start:end]), method, size)
            start = end
        del self._waiting[:start]

    def finish(self) -> None:
        """Raise when the last block is not complete."""
        if self._waiting:
            raise ServerError(33, "CANNOT_READ_ALL_DATA", "Cannot read all data: a compressed block is cut.")

    def _data(self, block: bytes, method: int, size: int) -> bytes:
        body = block[_CHECKSUM.size :]
        if self._verifies and _checksum(body) != block[: _CHECKSUM.size]:
            raise ServerError(40, "CHECKSUM_DOESNT_MATCH", "Checksum doesn't match: corrupted data.")
        return _decompress(method, body[_HEAD.size :], size)


def _block(data: bytes) -> bytes:
    compressed = lz4.block.compress(data, store_size=False)
    body = _HEAD.pack(_LZ4, _HEAD.size + len(compressed), len(data)) + compressed
    return _checksum(body) + body


def _checksum(body: bytes) -> bytes:
    found = CityHash128(body)
    return _CHECKSUM.pack(found >> 64, found & 0xFFFFFFFFFFFFFFFF)


def _check_sizes(compressed: int, size: int) -> None:
    if compressed < _HEAD.size:
        raise ServerError(271, "CANNOT_DECOMPRESS", "Can't decompress data: the compressed size is too small.")
    if compressed > _LIMIT_BYTES or size > _LIMIT_BYTES:
        message = (
            f"Too large size_compressed_without_checksum: {compressed}, of {size} bytes. Most likely corrupted data."
        )
        raise ServerError(113, "TOO_LARGE_SIZE_COMPRESSED", message)


def _decompress(method: int, data: bytes, size: int) -> bytes:
    if method not in _NAMES:
        raise ServerError(89, "UNKNOWN_COMPRESSION_METHOD", f"Unknown codec family code: {method}.")
    try:
        if method == _LZ4 and size <= _LZ4_GROWTH * len(data):
            found = lz4.block.decompress(data, uncompressed_size=size)
        elif method == _ZSTD:
            found = zstandard.ZstdDecompressor().stream_reader(data).read(size + 1)
        else:
            found = data if method == _NONE else b""
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, ValueError):
        found = b""
    if len(found) != size:
        raise ServerError(271, "CANNOT_DECOMPRESS", f"Cannot decompress {_NAMES[method]}-encoded data.")
    return found
