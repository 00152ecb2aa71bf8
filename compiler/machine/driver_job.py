"""The layout of a job for LLVM text.

In: job.FIELDS.  Out: `JOB_TYPE`, and how a field is reached.

    %1 = getelementptr %dln.job, ptr %job, i64 0, i32 3      # field_address("start")
"""

from __future__ import annotations

from .job import FIELDS

_INDEX = {name: k for k, (name, _) in enumerate(FIELDS)}
#: The structure as a named type.
JOB_TYPE = "%dln.job = type { " + ", ".join(kind for _, kind in FIELDS) + " }"


def field_type(name: str) -> str:
    """The LLVM type of a field."""
    return FIELDS[_INDEX[name]][1]


def field_address(name: str, job: str = "%job") -> str:
    """The right side of an LLVM instruction that gives a field's address."""
    return f"getelementptr %dln.job, ptr {job}, i64 0, i32 {_INDEX[name]}"
