"""Keyed hashes of canonical texts, and their stored form.

Belongs here: SipHash vectors, bitmaps. Not here: the keys (store/keyring), what equality means (merging).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pandas.util import hash_array

from crm_sync.records import NULL, Hashes, Mask, Texts


def hash_texts(texts: Texts, key: str) -> Hashes:
    """Hash canonical texts (object array of str of any shape) to uint64 with SipHash under a 16-character key."""
    flat = texts.ravel()
    if flat.size == 0:
        return np.zeros(texts.shape, dtype=np.uint64)
    return hash_array(flat, hash_key=key, categorize=False).astype(np.uint64, copy=False).reshape(texts.shape)


def hash_one(text: str, key: str) -> np.uint64:
    """Hash a single canonical text."""
    cell = np.empty(1, dtype=object)
    cell[0] = text
    return np.uint64(hash_texts(cell, key)[0])


def null_hash(key: str) -> np.uint64:
    """Return the hash that stands for null."""
    return hash_one(NULL, key)


def matrix(columns: Sequence[Texts], rows: int) -> NDArray[np.object_]:
    """Stand columns beside each other: (rows, len(columns)) object array."""
    out = np.empty((rows, len(columns)), dtype=object)
    for position, column in enumerate(columns):
        out[:, position] = column
    return out


def pack_vectors(vectors: Hashes) -> list[bytes]:
    """Turn an (n, m) array into n stored vectors of 8 m bytes, little-endian."""
    data = np.ascontiguousarray(vectors, dtype="<u8")
    width = data.shape[1] * 8
    blob = data.tobytes()
    return [blob[start : start + width] for start in range(0, len(blob), width)] if width else [b""] * len(data)


def unpack_vectors(blobs: Sequence[bytes], width: int) -> Hashes:
    """Turn n stored vectors into an (n, width) array."""
    joined = b"".join(blobs)
    return np.frombuffer(joined, dtype="<u8").reshape(len(blobs), width).astype(np.uint64)


def pack_masks(masks: Mask) -> list[bytes]:
    """Turn an (n, m) mask into n bitmaps, first field in the highest bit."""
    packed = np.packbits(masks, axis=1)
    return [row.tobytes() for row in packed]


def unpack_masks(blobs: Iterable[bytes], width: int) -> Mask:
    """Turn n bitmaps into an (n, width) mask."""
    rows = [np.frombuffer(blob, dtype=np.uint8) for blob in blobs]
    if not rows:
        return np.zeros((0, width), dtype=np.bool_)
    return np.unpackbits(np.stack(rows), axis=1, count=width).astype(np.bool_)
