"""The workloads: what is measured, and how the same network stands in the peers' terms.

In: nothing.  Out: `WORKLOADS`, one row each. The network, its data and its training are workloads/NAME.dln; a peer builds the
same network (peers_torch.py, peers_jax.py) and starts from the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "workloads"


@dataclass(frozen=True)
class Workload:
    """`optimizer` and `rate` are the file's, for the peers. `threads`: more than these do not help a net so small."""

    name: str
    description: str
    batch: int
    optimizer: str
    rate: float
    threads: int | None = None

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.dln"


WORKLOADS = {
    w.name: w
    for w in (
        Workload("xor_mlp", "2-4-1, batch 4, SGD", 4, "sgd", 1e-2, threads=1),
        Workload("digits_mlp", "64-32-10, batch 32, Adam", 32, "adam", 1e-3),
        Workload("mnist_mlp", "784-512-512-10, batch 128, Adam", 128, "adam", 1e-3),
        Workload("lenet5", "LeNet-5, batch 64, Adam", 64, "adam", 1e-3),
        Workload("mnist_cnn", "32-64-128, batch 64, Adam", 64, "adam", 1e-3),
        Workload("char_lstm", "64 steps, H 128, batch 32, Adam", 32, "adam", 1e-3),
        Workload("char_gpt", "transformer D128 L4 T64, batch 12, Adam", 12, "adam", 1e-3),
        Workload("deep_tanh", "10 × 500, batch 256, SGD", 256, "sgd", 1e-2),
        Workload("lecun1989", "batch 1, SGD", 1, "sgd", 0.03, threads=1),
        Workload("circulant", "512 units, batch 128, SGD", 128, "sgd", 1e-2),
        Workload("random_table", "1024 × 16, 256 weights, batch 128, SGD", 128, "sgd", 1e-2),
        Workload("locally_connected", "16 × 16, 3 × 3, 8 planes, batch 128, SGD", 128, "sgd", 1e-2),
    )
}

#: Steps after which the losses of dln and the peers are compared.
AGREEMENT_STEPS = 10
