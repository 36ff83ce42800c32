"""Encryption of values and of keys: AES-256-GCM with random nonces, bound to where each value belongs.

Belongs here: the form of ciphertexts, the master key. Not here: which keys exist and where they are kept (keyring).

    day and token values   01 | key id, 8 bytes | nonce, 12 bytes | ciphertext and tag    the value names its key
    subject values         02 | nonce, 12 bytes | ciphertext and tag                      the golden record's key
    wrapped keys           03 | nonce, 12 bytes | ciphertext and tag                      a key derived from the master
"""

from __future__ import annotations

import base64
import binascii
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crm_sync.errors import BadSettings, CrmSyncError

KEY_BYTES: Final = 32
_NONCE: Final = 12
_TAG: Final = 16
_KEYED: Final = struct.Struct(">BQ")
_BY_KEY_ID: Final = 1
_BY_SUBJECT: Final = 2
_WRAPPED: Final = 3


def new_master_key() -> str:
    """Return a new random master key: base64 of 32 bytes."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode("ascii")


class MasterKey:
    """The key that wraps all other keys. It never leaves the process in the clear and never shows in a text."""

    __slots__ = ("_cipher", "_secret", "fingerprint")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(_derive(secret, b"crm-sync: wrap keys", KEY_BYTES))
        self.fingerprint = _derive(secret, b"crm-sync: fingerprint", 16)

    @classmethod
    def parse(cls, text: str | None) -> MasterKey:
        """Read the text form (base64 of 32 bytes); BadSettings where it is missing or malformed."""
        if text is None or not text.strip():
            raise BadSettings(
                "CRM_SYNC_MASTER_KEY is not set; expected base64 of 32 bytes. Without it no stored record can be read. "
                "Create one with `crm-sync keys new`, and keep it somewhere safe outside of this machine."
            )
        try:
            secret = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if len(secret) != KEY_BYTES:
            raise BadSettings(
                "CRM_SYNC_MASTER_KEY is malformed; expected base64 of 32 bytes (44 characters), as `crm-sync keys new` "
                "prints it. Check that it was copied whole."
            )
        return cls(secret)

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt another key for storage; `context` says which key it is and is checked by `unwrap`."""
        return self.wrap_all([key], [context])[0]

    def wrap_all(self, keys: Sequence[bytes], contexts: Sequence[bytes]) -> list[bytes]:
        """Encrypt other keys for storage, as `wrap` does."""
        form, encrypt = bytes([_WRAPPED]), self._cipher.encrypt
        return [
            form + nonce + encrypt(nonce, key, context)
            for nonce, key, context in zip(_nonces(len(keys)), keys, contexts, strict=True)
        ]

    def unwrap(self, wrapped: bytes, context: bytes, what: str) -> bytes:
        """Decrypt a stored key; CrmSyncError names `what` where it was damaged or belongs elsewhere."""
        try:
            if wrapped[:1] != bytes([_WRAPPED]):
                raise InvalidTag
            return self._cipher.decrypt(wrapped[1 : 1 + _NONCE], wrapped[1 + _NONCE :], context)
        except (InvalidTag, ValueError):
            raise CrmSyncError(
                f"The stored key of {what} is damaged or was moved from another row. Restore it from a copy "
                "of the database."
            ) from None

    def wrap_master(self, other: MasterKey) -> bytes:
        """Encrypt another master key under this one."""
        return self.wrap(other._secret, b"master_key")

    def unwrap_master(self, wrapped: bytes) -> MasterKey:
        """Undo wrap_master."""
        return MasterKey(self.unwrap(wrapped, b"master_key", "table master_key"))

    def __repr__(self) -> str:
        return f"MasterKey(fingerprint={self.fingerprint.hex()[:8]})"


def data_key_context(purpose: str, label: str) -> bytes:
    """Return what a row of data_key is bound to."""
    return f"data_key\0{purpose}\0{label}".encode()


def subject_key_context(hub_id: UUID) -> bytes:
    """Return what a row of subject_key is bound to."""
    return b"subject_key\0" + hub_id.bytes


def _derive(secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)


def _nonces(count: int) -> list[bytes]:
    random = os.urandom(_NONCE * count)
    return [random[at : at + _NONCE] for at in range(0, len(random), _NONCE)]


def seal_keyed(
    key_id: int, key: bytes, purpose: str, plaintexts: Sequence[bytes], aads: Sequence[bytes]
) -> list[bytes]:
    """Encrypt values under one shared key; each result carries the key's id. Same order and length."""
    header = _KEYED.pack(_BY_KEY_ID, key_id)
    bound = header + purpose.encode() + b"\0"
    encrypt = AESGCM(key).encrypt
    return [
        header + nonce + encrypt(nonce, plaintext, bound + aad)
        for plaintext, aad, nonce in zip(plaintexts, aads, _nonces(len(plaintexts)), strict=True)
    ]


def key_ids(blobs: Sequence[bytes], purpose: str) -> list[int]:
    """Return which key each value was encrypted under; CrmSyncError where one is no such value."""
    found: list[int] = []
    for blob in blobs:
        if len(blob) < _KEYED.size + _NONCE + _TAG or blob[0] != _BY_KEY_ID:
            _undecipherable(purpose, len(found))
        found.append(_KEYED.unpack_from(blob)[1])
    return found


def open_keyed(keys: Mapping[int, bytes], purpose: str, blobs: Sequence[bytes], aads: Sequence[bytes]) -> list[bytes]:
    """Decrypt what `seal_keyed` made; `keys` by key id. CrmSyncError names the purpose, never the content."""
    ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
    bound = purpose.encode() + b"\0"
    start = _KEYED.size
    opened: list[bytes] = []
    ids = key_ids(blobs, purpose)
    for key_id, blob, aad in zip(ids, blobs, aads, strict=True):
        cipher = ciphers.get(key_id)
        if cipher is None:
            _undecipherable(purpose, len(opened), f"its key {key_id} no longer exists")
        try:
            nonce = blob[start : start + _NONCE]
            opened.append(cipher.decrypt(nonce, blob[start + _NONCE :], blob[:start] + bound + aad))
        except InvalidTag:
            _undecipherable(purpose, len(opened))
    return opened


class SubjectKey:
    """The key of one golden record, ready for use. It never shows in a text."""

    __slots__ = ("_secret", "cipher", "owner")

    def __init__(self, hub_id: UUID, secret: bytes) -> None:
        self._secret = secret
        self.owner = hub_id.bytes
        self.cipher = AESGCM(secret)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SubjectKey) and (self.owner, self._secret) == (other.owner, other._secret)

    def __hash__(self) -> int:
        return hash(self.owner)

    def __repr__(self) -> str:
        return f"SubjectKey({UUID(bytes=self.owner)})"


def seal_by_subject(
    keys: Mapping[UUID, SubjectKey], hub_ids: Sequence[UUID], plaintexts: Sequence[bytes], purpose: str
) -> list[bytes]:
    """Encrypt each value under the key of its golden record, bound to purpose and hub id. Same order and length."""
    form = bytes([_BY_SUBJECT])
    bound = purpose.encode() + b"\0"
    sealed: list[bytes] = []
    for hub_id, plaintext, nonce in zip(hub_ids, plaintexts, _nonces(len(plaintexts)), strict=True):
        key = keys.get(hub_id)
        if key is None:
            _undecipherable(purpose, len(sealed), f"golden record {hub_id} has no key; it may have been erased")
        sealed.append(form + nonce + key.cipher.encrypt(nonce, plaintext, bound + key.owner))
    return sealed


def open_by_subject(
    keys: Mapping[UUID, SubjectKey], hub_ids: Sequence[UUID], blobs: Sequence[bytes], purpose: str
) -> list[bytes]:
    """Decrypt what `seal_by_subject` made; CrmSyncError names purpose and hub id, never the content."""
    form = bytes([_BY_SUBJECT])
    bound = purpose.encode() + b"\0"
    opened: list[bytes] = []
    for hub_id, blob in zip(hub_ids, blobs, strict=True):
        key = keys.get(hub_id)
        if key is None:
            _undecipherable(purpose, len(opened), f"golden record {hub_id} has no key; it may have been erased")
        try:
            if blob[:1] != form:
                raise InvalidTag
            opened.append(key.cipher.decrypt(blob[1 : 1 + _NONCE], blob[1 + _NONCE :], bound + key.owner))
        except (InvalidTag, ValueError):
            _undecipherable(purpose, len(opened), f"golden record {hub_id}: it is damaged, or belongs to another row")
    return opened


def _undecipherable(purpose: str, number: int, why: str = "it is damaged, or belongs to another row") -> NoReturn:
    raise CrmSyncError(
        f"Value {number} of a batch for {purpose!r} cannot be encrypted or decrypted: {why}. Expected a value "
        "written by this database under this master key; if the table was restored or edited by hand, restore it whole."
    )
