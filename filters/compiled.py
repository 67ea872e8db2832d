"""The kernels that the rest of the package calls, as numba compiles them."""

from .kernels import by_characters, shared_counts, shingle_rows
from .matching import bucket_heads, later_twins, nearest_rows, number_sets, take_sets, touched_rows
from .sketching import content_rows, signature_rows, sketch_rows

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
