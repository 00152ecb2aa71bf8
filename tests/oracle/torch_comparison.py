"""One network, twice: compiled by dln, and written in PyTorch. Values, loss and derivatives must agree.

In: a text, and a function from tensors to a loss and layers.  Out: nothing, or an AssertionError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dln
import numpy as np

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}

Tensors = Mapping[str, Any]
Peer = Callable[[Tensors, Tensors], tuple[Any, dict[str, Any]]]


def random_inputs(net: Any, samples: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """A batch that fits the inputs of a network: normal numbers, and classes."""
    data: dict[str, np.ndarray] = {}
    for array in net.elaborated.graph.inputs:
        shape = (samples, *array.extents)
        if array.classes is None:
            data[array.name] = generator.standard_normal(shape)
        else:
            data[array.name] = generator.integers(0, array.classes, shape)
    return data


def agree(name: str, actual: Any, expected: Any, tolerance: float, least: float = 1e-3) -> None:
    """Equal up to `tolerance` times the largest entry, or times `least` where all entries are smaller."""
    found = np.asarray(actual, dtype=np.float64)
    wanted = np.asarray(expected, dtype=np.float64)
    assert found.shape == wanted.shape, f"{name}: shape {found.shape}, expected {wanted.shape}"
    scale = max(float(np.max(np.abs(wanted), initial=0.0)), least)
    worst = float(np.max(np.abs(found - wanted), initial=0.0))
    assert worst <= tolerance * scale, f"{name}: off by {worst:.3g}, the largest entry is {scale:.3g}"


def compare(
    source: str | Path,
    peer: Peer,
    precision: str,
    samples: int = 5,
    spread: float = 0.5,
    inputs: dict[str, np.ndarray] | None = None,
    seed: int = 0,
    least: float = 1e-3,
) -> None:
    """`peer(weights, inputs)` gives the loss and the layers that are to be compared, in PyTorch.

    `least`: derivatives whose entries are all smaller are compared with it, not with themselves.
    """
    import torch

    make = dln.load if isinstance(source, Path) else dln.compile
    net = make(source, precision=precision, threads=1)  # type: ignore[arg-type]
    generator = np.random.default_rng(seed)
    data: dict[str, Any] = inputs or random_inputs(net, samples, generator)
    dtype = getattr(torch, precision)
    weights: dict[str, torch.Tensor] = {}
    for name, view in net.weights.items():
        value = spread * generator.standard_normal(view.shape)
        net.weights[name] = value
        weights[name] = torch.tensor(value, dtype=dtype, requires_grad=True)
    tensors = {
        n: torch.tensor(v, dtype=dtype if v.dtype.kind == "f" else torch.int64) for n, v in data.items()
    }
    loss, layers = peer(weights, tensors)
    loss.backward()
    tolerance = TOLERANCE[precision]
    outputs = net(**data)
    for name, tensor in layers.items():
        agree(f"layer {name}", outputs[name], tensor.detach().numpy(), tolerance)
    found, gradient = net.loss_and_gradient(**data)
    agree("loss", found, loss.detach().numpy(), tolerance)
    assert set(gradient) == set(weights)
    for name, tensor in weights.items():
        expected = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
        agree(f"gradient of {name}", gradient[name], expected, tolerance, least)
