"""The functions of `compiled` in NumPy and Python, with the same results, where numba cannot be had. Far slower."""

from .portable_sets import (
    bucket_heads,
    content_rows,
    later_twins,
    nearest_rows,
    number_sets,
    signature_rows,
    sketch_rows,
    take_sets,
    touched_rows,
)
from .portable_text import by_characters, shared_counts, shingle_rows

__all__ = [
    "bucket_heads",
    "by_characters",
    "content_rows",
    "later_twins",
    "nearest_rows",
    "number_sets",
    "shared_counts",
    "shingle_rows",
    "signature_rows",
    "sketch_rows",
    "take_sets",
    "touched_rows",
]
