"""Which encoding a text file is in, from its beginning: UTF-8, or what spreadsheets in China save: GB18030 as CSV, and
UTF-16 as "Unicode text".

GB18030 holds GBK and GB2312. Pure functions over bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

SAMPLE_BYTES = 1 << 20
# Of the characters beyond ASCII: text of another encoding that happens to be valid GB18030 is made of rare ones.
_COMMON_SHARE = 0.9
# What the bytes of 元 in GB18030 are in UTF-8: a letter of Komi that is out of use.
_YUAN_MISREAD = "\u052a"
# Spreadsheets write these too, as four bytes that nothing else holds.
_COMMON_BESIDE = str.maketrans("¥\u00a0", "￥\u3000")


def detect(sample: bytes) -> str:
    """The name of the codec, utf-8, utf-16 or gb18030. sample: the first SAMPLE_BYTES of the file, or all of it.

    UTF-16 only with its mark. GB18030 only where more lines beyond ASCII are broken in UTF-8 than whole, every character
    is valid, and nine of ten beyond ASCII are in GB2312, which has the usual ones of simplified Chinese. Else UTF-8, where
    a broken row is refused.
    """
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(sample) == SAMPLE_BYTES:
        # The last line may be cut.
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    lines = [line for line in sample.splitlines() if not line.isascii()]
    if sum(map(_is_utf8, lines)) * 2 >= len(lines):
        return "utf-8"
    try:
        wide = "".join(character for character in b"\n".join(lines).decode("gb18030") if not character.isascii())
    except UnicodeDecodeError:
        return "utf-8"
    # GB2312 has two bytes for each of them.
    common = len(wide.translate(_COMMON_BESIDE).encode("gb2312", "ignore")) // 2
    return "gb18030" if common >= _COMMON_SHARE * len(wide) else "utf-8"


def recoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The pieces of a file in UTF-8. What the encoding does not know becomes what is no UTF-8 either.

    Raises UnicodeDecodeError where a file in UTF-16 ends within a character.
    """
    # Half a character of UTF-16 is a surrogate, of GB18030 a byte.
    errors = "surrogatepass" if encoding == "utf-16" else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", errors)
    yield decoder.decode(b"", final=True).encode("utf-8", errors)


def _is_utf8(line: bytes) -> bool:
    try:
        return _YUAN_MISREAD not in line.decode("utf-8")
    except UnicodeDecodeError:
        return False
