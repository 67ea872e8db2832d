"""Rehearsal: an offline stand-in for a teacher and a judge, composed from hand-written sentences.

It is not a language model, and what it writes is not training data. It lets every room run with no key, no
network and no GPU, always with the same result, and knows which flaws it planted. `server`, imported on its own
for aiohttp's sake, gives the same replies over the OpenAI protocol.
"""

from .flaws import Dials, Truth
from .phrases import Fragments
from .reply import Reply, reply, truth
from .teacher import JUDGE_FAMILY, TEACHER_FAMILY, RehearsalJudge, RehearsalTeacher, from_dials

__all__ = [
    "JUDGE_FAMILY",
    "TEACHER_FAMILY",
    "Dials",
    "Fragments",
    "RehearsalJudge",
    "RehearsalTeacher",
    "Reply",
    "Truth",
    "from_dials",
    "reply",
    "truth",
]
