"""Hashes tell texts apart, whatever they look like, and stored vectors come back as they went."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.records import ABSENT, NULL
from crm_sync.steps import hashing
from tests.unit.steps.profiles import examples

KEY = "sixteen letters!"
LOOKALIKES = [
    ABSENT,
    NULL,
    "t:-",
    "t:0",
    "t:None",
    "t:nan",
    "t:NaN",
    "t:",
    "t:1",
    "n:1",
    "b:1",
    "t:b:1",
    "r:1",
    "d:2024-01-01",
    "t:2024-01-01",
]
FIXED = [4476667575731713547, 4709030383136882197, 7233210675330994650, 9462056157764602700]
"""The hashes of "0", "-", "t:Ada" and "b:1" under the key 0123456789abcdef."""
texts = st.text(max_size=12).map(lambda t: "t:" + t)


def column(values: list[str]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def test_lookalikes_have_hashes_of_their_own() -> None:
    assert len(set(hashing.hash_texts(column(LOOKALIKES), KEY).tolist())) == len(LOOKALIKES)


def test_null_is_neither_the_text_none_nor_the_text_nan() -> None:
    null = hashing.null_hash(KEY)
    assert null == hashing.hash_one("0", KEY)
    assert null not in {hashing.hash_one(t, KEY) for t in ("t:0", "t:None", "t:nan", "t:", "-", "n:0", "b:0")}


@given(st.lists(texts, max_size=8), st.integers(0, 7))
@examples(300)
def test_a_hash_depends_on_the_text_and_the_key_alone(values: list[str], place: int) -> None:
    hashes = hashing.hash_texts(column(values), KEY)
    assert hashes.dtype == np.uint64
    for value, hashed in zip(values, hashes, strict=True):
        assert hashed == hashing.hash_one(value, KEY)
        assert hashed != hashing.hash_one(value, "another 16 chars")
    for one, other in itertools.combinations(range(len(values)), 2):
        assert (hashes[one] == hashes[other]) == (values[one] == values[other])
    shuffled = values[place:] + values[:place]
    assert sorted(hashing.hash_texts(column(shuffled), KEY).tolist()) == sorted(hashes.tolist())


def test_a_matrix_hashes_cell_by_cell() -> None:
    table = hashing.matrix([column(["t:a", "0"]), column(["n:1", "-"]), column(["t:a", "t:b"])], rows=2)
    hashes = hashing.hash_texts(table, KEY)
    assert hashes.shape == (2, 3)
    assert hashes.tolist() == [[int(hashing.hash_one(t, KEY)) for t in row] for row in table.tolist()]
    assert hashes[0, 0] == hashes[0, 2]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_nothing_hashes_to_nothing(shape: tuple[int, ...]) -> None:
    assert hashing.hash_texts(np.empty(shape, dtype=object), KEY).shape == shape


@pytest.mark.parametrize("key", ["too short", "much too long for a key"])
def test_a_key_of_the_wrong_length_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="16"):
        hashing.hash_one("t:a", key)


@given(st.integers(0, 4), st.integers(1, 20), st.data())
@examples(200)
def test_stored_vectors_and_masks_come_back_as_they_went(rows: int, width: int, data: st.DataObject) -> None:
    numbers = st.lists(st.integers(0, 2**64 - 1), min_size=rows * width, max_size=rows * width)
    vectors = np.array(data.draw(numbers), dtype=np.uint64).reshape(rows, width)
    masks = vectors % np.uint64(2) == 1
    stored = hashing.pack_vectors(vectors)
    assert [len(blob) for blob in stored] == [8 * width] * rows
    assert np.array_equal(hashing.unpack_vectors(stored, width), vectors)
    bitmaps = hashing.pack_masks(masks)
    assert [len(bitmap) for bitmap in bitmaps] == [(width + 7) // 8] * rows
    assert np.array_equal(hashing.unpack_masks(bitmaps, width), masks)


def test_the_stored_form_is_fixed() -> None:
    """A stored shadow outlives the program that wrote it: this form may only change with a migration."""
    assert hashing.hash_texts(column(["0", "-", "t:Ada", "b:1"]), "0123456789abcdef").tolist() == FIXED
    assert hashing.pack_vectors(np.array([[1, 258]], dtype=np.uint64)) == [bytes([1] + [0] * 7 + [2, 1] + [0] * 6)]
    assert hashing.pack_masks(np.array([[True, False, True, False, False, False, False, False, True]])) == [b"\xa0\x80"]
