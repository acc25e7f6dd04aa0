"""What is written of pieces is what is written without them, and pieces are bounded."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from kube.cbor_items import encode_item
from kube.cbor_pieces import PIECE_BYTES_MAX, Pieces

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "b", "é"])
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4)
    ),
    max_leaves=20,
)
_fields = st.recursive(
    st.just({}), lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", "."]), inner)
)


def _written(pieces: Pieces, obj: dict[str, Any]) -> bytes:
    own = copy.deepcopy(obj)
    pieces.put_into(own)
    return encode_item(own)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "metadata": st.fixed_dictionaries(
                    {"name": st.sampled_from("xyz")},
                    optional={
                        "managedFields": st.lists(
                            st.fixed_dictionaries(
                                {"manager": st.sampled_from("mn")}, optional={"fieldsV1": _fields}
                            ),
                            max_size=3,
                        )
                    },
                )
            },
            optional={"spec": _values, "status": _values},
        ),
        max_size=6,
    )
)
def test_objects_of_pieces_are_written_as_they_are_without(objects: list[dict[str, Any]]) -> None:
    pieces = Pieces()
    for obj in objects * 2:
        assert _written(pieces, obj) == encode_item(obj)


def test_what_is_equal_in_python_but_not_in_json_is_not_the_same_piece() -> None:
    pieces = Pieces()
    for values in ([1, 2], [1.0, 2], [True, 2], [1, 2.0]):
        obj = {"metadata": {}, "spec": {"a": values}}
        assert _written(pieces, obj) == encode_item(obj)


def test_pieces_are_bounded_together_and_each() -> None:
    pieces = Pieces(bytes_max=4096)
    for number in range(100):
        _written(pieces, {"spec": {"a": [number, "x" * 20]}})
        assert pieces.held_bytes <= 4096
    assert 0 < len(pieces._known) < 100
    before = pieces.held_bytes
    _written(pieces, {"spec": {"a": ["x" * PIECE_BYTES_MAX, "y"]}})
    assert pieces.held_bytes == before


def test_what_is_counted_is_what_is_held() -> None:
    pieces = Pieces()
    for number in range(10):
        _written(pieces, {"spec": {"a": [number, number]}})
    held = sum(len(text) + len(made) for text, made in pieces._known.items())
    assert pieces.held_bytes == held + 300 * len(pieces._known)
    assert all(encode_item(orjson.loads(text)) == made for text, made in pieces._known.items())
