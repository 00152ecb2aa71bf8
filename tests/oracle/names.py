"""The public names of weights that live inside of blocks.

A layer with one block in it: `hidden.w`. Several: `hidden.dense.w`, `hidden.dense_2.w`, in the order of use, arguments
first. Blocks without weights are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable

from .scope import Field, Instance


def full_name(field: Field, instances: Iterable[Instance]) -> str:
    """`hidden.dense_2.w`"""
    instances = list(instances)
    if field.owner is None:
        return field.name
    return f"{_path(field.owner, instances)}.{field.name}"


def _path(instance: Instance, instances: list[Instance]) -> str:
    outer = full_name(instance.owner, instances)
    siblings = [i for i in instances if i.owner is instance.owner]
    bearing = [i for i in siblings if _bears_weights(i, instances)]
    if bearing == [instance]:
        return outer
    alike = [i for i in siblings if i.block == instance.block]
    if len(bearing) == 1:
        alike = [i for i in alike if i is not bearing[0]]
    number = alike.index(instance) + 1
    return f"{outer}.{instance.block}" + (f"_{number}" if number > 1 else "")


def _bears_weights(instance: Instance, instances: list[Instance]) -> bool:
    if any(f.kind in ("weight", "state") and f.owner is instance for f in instance.fields):
        return True
    inner = [i for i in instances if i.owner in instance.fields]
    return any(_bears_weights(i, instances) for i in inner)
