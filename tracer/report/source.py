# SPDX-License-Identifier: Apache-2.0
"""The lines of a file or a pipe, compressed or not, read once and in bounded memory."""

import errno
import gzip
import io
import os
import select
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

STDIN: Final = Path("-")
_MAX_LINE: Final = 1 << 20  # bytes; a longer line is damaged, and is not kept
# Bytes read at once: fewer than a line may have, and they stay in the CPU's cache.
_BLOCK: Final = 1 << 16
_GZIP_MAGIC: Final = b"\x1f\x8b"
_NULL: Final = os.makedev(1, 3)  # /dev/null


def lines_of(
    path: Path, advance: Callable[[int], None], cut_short: Callable[[], None]
) -> Iterator[list[bytes]]:
    """Yields the lines, many at a time; a line that is too long as an empty one. ``advance`` is
    told the bytes read, ``cut_short`` that what is compressed has no proper end. Raises OSError,
    with the file's name."""
    begun = bytearray()  # a line whose end is not read yet, and no more of it than tells its fate
    try:
        with _opened(path) as file, _decompressed(_Source(file, advance)) as content:
            while block := _read(content, cut_short):
                lines = block.split(b"\n")
                begun += lines[0][: _MAX_LINE + 1 - len(begun)]
                if len(lines) > 1:
                    lines[0] = _unless_too_long(begun)
                    begun = bytearray(lines.pop())
                    yield lines
    except OSError as error:
        error.filename = "standard input" if path == STDIN else str(path)
        raise
    if begun:
        yield [_unless_too_long(begun)]


def _unless_too_long(line: bytearray) -> bytes:
    return bytes(line) if len(line) <= _MAX_LINE else b""


def _opened(path: Path) -> io.FileIO:
    """Opens what can be a log. A device has no end, or does something when it is opened."""
    status = os.fstat(0) if path == STDIN else path.stat()
    is_device = stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode)
    is_terminal = path == STDIN and os.isatty(0)
    if is_device and not is_terminal and status.st_rdev != _NULL:
        raise OSError(errno.EINVAL, "it is a device")
    return io.FileIO(0, closefd=False) if path == STDIN else io.FileIO(path)


class _Source(io.RawIOBase):
    """A file's bytes; ``advance`` is told how many were read."""

    def __init__(self, file: io.FileIO, advance: Callable[[int], None]) -> None:
        self._file = file
        self._advance = advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._read(buffer)
        if size == 1:  # a pipe's: peek() must see two bytes
            size += self._read(memoryview(buffer)[1:])
        self._advance(size)
        return size

    def _read(self, buffer: Any) -> int:
        while (size := self._file.readinto(buffer)) is None:  # somebody has made it O_NONBLOCK
            select.select([self._file], [], [])
        return size


def _decompressed(source: _Source) -> BinaryIO:
    buffered = io.BufferedReader(source, _BLOCK)
    compressed = buffered.peek(2)[:2] == _GZIP_MAGIC
    return cast("BinaryIO", gzip.open(buffered) if compressed else buffered)


def _read(content: BinaryIO, cut_short: Callable[[], None]) -> bytes:
    """Reads a block; what comes before damage is returned first."""
    try:
        return content.read1(_BLOCK)  # type: ignore[attr-defined, no-any-return]
    except (EOFError, zlib.error, gzip.BadGzipFile):
        cut_short()
        return b""
