"""The arrays of an index, and the one file they are kept in.

The file: 16 bytes of magic; version and length of the header, two 32-bit numbers; the header, JSON with the settings
and the type, shape and place of every array; BLAKE2b (32 bytes) over all before it and all after it; the arrays, each
at a multiple of 64 bytes, little-endian.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .shingles import ShingleColumn
from .verdict import FilterError

MAGIC = b"thousandfold mhi"
VERSION = 1
_START = struct.Struct("<16sII")
_DIGEST = 32
_ALIGNMENT = 64


@dataclass(frozen=True)
class Shelf:
    """Keys, and the distinct sets of shingles they brought, numbered as they were added."""

    key_bytes: NDArray[np.uint8]  # every key in UTF-8, one after the other
    key_ends: NDArray[np.int64]  # where each key begins, and the last one ends
    key_of: NDArray[np.int64]  # of each set the key that brought it
    values: NDArray[np.uint64]  # the shingle hashes of each set, ascending
    offsets: NDArray[np.int64]
    identities: NDArray[np.uint64]  # (sets, 2), see `Sketches`
    by_identity: NDArray[np.int64]  # sets sorted by the first of the two
    hashes: NDArray[np.uint32]  # (b, sets)
    orders: NDArray[np.int32]  # (b, sets): sets sorted by that hash, then as they came

    @classmethod
    def of(
        cls,
        keys: Sequence[str],
        key_of: NDArray[np.int64],
        identities: NDArray[np.uint64],
        sets: ShingleColumn,
        bands: NDArray[np.uint32],
    ) -> Shelf:
        """A shelf of new keys; `bands` (sets, b)."""
        encoded = [key.encode() for key in keys]
        ends = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
        key_bytes = np.frombuffer(b"".join(encoded), np.uint8)
        return _sorted(key_bytes, ends, key_of, *sets, identities, np.ascontiguousarray(bands.T))

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return len(self.key_ends) - 1

    def key(self, number: int) -> str:
        """The key of that number."""
        return self.key_bytes[self.key_ends[number] : self.key_ends[number + 1]].tobytes().decode()

    def has(self, identities: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these sets are here."""
        out = np.zeros(len(identities), np.bool_)
        if len(self.by_identity):
            ascending = self.identities[self.by_identity, 0]
            places = np.searchsorted(ascending, identities[:, 0])
            ends = np.searchsorted(ascending, identities[:, 0], "right")
            for row in np.flatnonzero(places < ends).tolist():
                same = self.identities[self.by_identity[places[row] : ends[row]], 1] == identities[row, 1]
                out[row] = bool(same.any())
        return out


def _sorted(*arrays: Any) -> Shelf:
    """A shelf from its arrays as they were added, with the two that sort them."""
    key_bytes, key_ends, key_of, values, offsets, identities, hashes = arrays
    by_identity = np.argsort(identities[:, 0], kind="stable")
    orders = np.empty(hashes.shape, np.int32)
    for band in range(len(hashes)):
        orders[band] = np.argsort(hashes[band], kind="stable")
    return Shelf(key_bytes, key_ends, key_of, values, offsets, identities, by_identity, hashes, orders)


def merged(shelves: Sequence[Shelf], bands: int = 0) -> Shelf:
    """One shelf of all keys and sets, in order; `bands` says how many there are if there is no shelf at all."""
    first_keys = np.cumsum([0, *(shelf.keys for shelf in shelves)])
    return _sorted(
        np.concatenate([np.zeros(0, np.uint8), *(shelf.key_bytes for shelf in shelves)]),
        _joined_ends([shelf.key_ends for shelf in shelves]),
        np.concatenate([np.zeros(0, np.int64), *map(np.add, (shelf.key_of for shelf in shelves), first_keys)]),
        np.concatenate([np.zeros(0, np.uint64), *(shelf.values for shelf in shelves)]),
        _joined_ends([shelf.offsets for shelf in shelves]),
        np.concatenate([np.zeros((0, 2), np.uint64), *(shelf.identities for shelf in shelves)]),
        np.concatenate([shelf.hashes for shelf in shelves], axis=1) if shelves else np.zeros((bands, 0), np.uint32),
    )


def _joined_ends(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Where each item begins, and the last one ends, once the items of all parts follow one another."""
    return np.cumsum(np.concatenate([np.zeros(1, np.int64), *map(np.diff, parts)]))


def write_shelf(path: str | PathLike[str], settings: dict[str, Any], shelf: Shelf) -> None:
    """Writes beside the path, flushes to the disk, then replaces: a reader sees the old file or the new one."""
    target = Path(path)
    arrays = {field.name: np.ascontiguousarray(getattr(shelf, field.name)) for field in fields(Shelf)}
    table, place = {}, 0
    for name, array in arrays.items():
        table[name] = [array.dtype.newbyteorder("<").str, list(array.shape), place]
        place += _padded(array.nbytes)
    header = json.dumps({"settings": settings, "arrays": table, "bytes": place}, sort_keys=True).encode()
    start = _START.pack(MAGIC, VERSION, len(header)) + header
    start += bytes(_padded(len(start) + _DIGEST) - len(start) - _DIGEST)
    digest = blake2b(start, digest_size=_DIGEST)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            file.write(start + bytes(_DIGEST))
            for array in arrays.values():
                data = array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)
                for part in (data.data, bytes(_padded(array.nbytes) - array.nbytes)):
                    digest.update(part)
                    file.write(part)
            file.seek(len(start))
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _flush_directory(target.parent)


def _flush_directory(directory: Path) -> None:
    if os.name == "posix":  # elsewhere a directory cannot be opened
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def read_shelf(path: str | PathLike[str]) -> tuple[dict[str, Any], Shelf]:
    """Settings and arrays of a file, mapped; every byte of it is verified first."""
    try:
        with open(path, "rb") as file:
            start = file.read(_START.size)
            magic, version, length = _START.unpack(start) if len(start) == _START.size else (b"", 0, 0)
            if magic != MAGIC:
                raise _refused(path, "is not an index of thousandfold")
            if version != VERSION:
                raise _refused(path, f"is of version {version}, and this is version {VERSION}")
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise FilterError(
            what=f"the index {os.fspath(path)} cannot be read ({error.strerror})",
            why="texts of earlier rounds are compared by it",
            do="give the path of a file that MinHashIndex.save wrote, or build the index anew and save it",
        ) from error
    body = _padded(_START.size + length + _DIGEST)
    digest = blake2b(whole[: body - _DIGEST], digest_size=_DIGEST)
    digest.update(whole[body:])
    if len(whole) < body or digest.digest() != whole[body - _DIGEST : body]:
        raise _refused(path, "is damaged: its checksum does not fit its bytes")
    header = json.loads(bytes(whole[_START.size : _START.size + length]))
    arrays = {}
    for name, (kind, shape, place) in header["arrays"].items():
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(whole, np.dtype(kind), count, body + place).reshape(shape)
    return header["settings"], Shelf(**arrays)


def _refused(path: str | PathLike[str], what: str) -> FilterError:
    return FilterError(
        what=f"{os.fspath(path)} {what}",
        why="what it says of earlier texts could not be trusted",
        do="delete it and build the index anew from the texts; it holds nothing that cannot be recomputed",
    )
