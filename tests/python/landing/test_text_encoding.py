"""What the beginning of a file tells about its encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.landing.text_encoding import SAMPLE_BYTES, detect, recoded

NAMES = "编号,客户\n1,成都火锅店\n2,上海小吃\n3,Café 巴黎\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"", "utf-8"),
        (b"1,plain\n", "utf-8"),
        (NAMES.encode(), "utf-8"),
        (NAMES.encode("gb18030"), "gb18030"),
        ("1,¥2.50\n2,¥\u00a03.00\n".encode("gb18030"), "gb18030"),
        ("1,￥2.50\n2,3元\n".encode("gbk"), "gb18030"),
        ("1,2.50元\n".encode("gbk"), "gb18030"),
        ("1,2.50元\n".encode(), "utf-8"),
        (NAMES.encode("utf-16"), "utf-16"),
        # Without its mark it could be anything.
        (NAMES.encode("utf-16-le"), "utf-8"),
        # One broken row does not make a file another one; it is refused.
        (NAMES.encode() + "4,鲜\n".encode("gbk"), "utf-8"),
        # European text, valid in GB18030 by chance or not, is no Chinese.
        ("1,Müller\n2,Öztürk\n".encode("latin-1"), "utf-8"),
        ("1,café\n".encode("latin-1"), "utf-8"),
        ("1,臺北牛肉麵\n2,高雄海產店\n".encode("big5"), "utf-8"),
    ],
)
def test_a_file_is_gb18030_only_where_that_explains_its_lines(content, encoding):
    assert detect(content) == encoding


def test_a_line_that_the_sample_cuts_says_nothing():
    rows = "鲜".encode("gb18030") * 7 + b"\n"
    sample = (b"\n" * 3 + rows * (SAMPLE_BYTES // len(rows) + 1))[:SAMPLE_BYTES]
    assert sample.endswith("鲜".encode("gb18030")[:1]) and detect(sample) == "gb18030"


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.integers(1, 9)),
    st.sampled_from(["gb18030", "utf-16"]),
)
def test_pieces_come_out_as_the_whole_would(text, sizes, encoding):
    content = text.encode(encoding)
    pieces = []
    for size in sizes:
        pieces.append(content[:size])
        content = content[size:]
    assert b"".join(recoded([*pieces, content], encoding)).decode() == text
