"""A network that can be called, trained, saved: what `dln.load` returns.

In: an elaborated network.  Out: `Network`, with NumPy arrays going in and coming out.

    net = dln.load("digits.dln", width=64)       # loading.py
    net(image=X)["score"]                        # array[len(X), 10]
    loss, gradient = net.loss_and_gradient(image=X, label=y)
    net.weights["hidden.w"][...] = 0             # live
    history = net.train()                        # the file's own data, or net.train({"image": X, "label": y})
    net.save("w.safetensors")

One call runs at a time: a network may be shared by threads, which then wait for each other.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..compiler.pipeline import Precision
from .arrays import Samples, check_samples, count_samples, describe_input, refuse_where
from .errors import InputError
from .execution import Execution
from .executions import Executions
from .given_weights import given_weights
from .memory import Weights
from .training.settings import read_plan

# What training, data and files need is imported when they are asked for: loading is to be quick.
if TYPE_CHECKING:
    from ..compiler.elaborate import Network as Elaborated
    from .data.fitted_calls import FittedStatistics
    from .data.reading import Arrays, Data
    from .training.history import Figures, History, Record
    from .training.interrupt import Interrupt
    from .training.loop import Keeper, OnProgress, TrainingState
    from .training.outer_optimizers import OuterOptimizer


#: What a network is compiled for; less is faster to compile.
Purpose = Literal["training", "gradient", "evaluation"]


class Network:
    """A compiled network with its weights. Made by `load` and `compile` (loading.py).

    name      of the network
    inputs    the names of its inputs
    outputs   the names of its layers
    weights   name → live array (see `Weights`)
    plan      what the file's train section says (see `TrainingPlan`)
    """

    def __init__(
        self,
        elaborated: Elaborated,
        folder: Path | None = None,
        *,
        seed: int | None = None,
        precision: Precision = "float32",
        threads: int | None = None,
        purpose: Purpose = "training",
        capacity: int | None = None,
    ):
        if precision not in ("float32", "float64"):
            raise InputError(f"precision is 'float32' or 'float64', got {precision!r}")
        if threads is not None and threads < 1:
            raise InputError(f"threads should be at least 1, got {threads}")
        self.elaborated, self.folder, self.threads = elaborated, folder, threads
        plan = read_plan(elaborated)
        self.plan = plan if seed is None else replace(plan, seed=seed)
        self.precision: Precision = precision
        self._lock = threading.RLock()
        has_loss = elaborated.graph.loss is not None
        self._executions = Executions(
            elaborated,
            self.plan,
            precision=precision,
            threads=threads,
            gradient=has_loss and purpose != "evaluation",
            trainable=has_loss and purpose == "training" and elaborated.train is not None,
            given=given_weights(elaborated, folder),
            capacity=capacity,
        )
        self._main = self._executions.main
        self.weights = Weights(self._main.memory, self._executions.names("weight"))

    @functools.cached_property
    def statistics(self) -> FittedStatistics:
        """What the data section has fitted to its training part; saved and restored with the weights."""
        from .data.fitted_calls import FittedStatistics

        return FittedStatistics()

    # ------------------------------------------------------------------------------------------- description

    @property
    def name(self) -> str:
        return self.elaborated.graph.name

    @property
    def inputs(self) -> list[str]:
        return [array.name for array in self.elaborated.graph.inputs]

    @property
    def compile_seconds(self) -> float:
        """Seconds spent in the compiler so far."""
        return self._executions.compile_seconds

    @property
    def outputs(self) -> list[str]:
        return list(self.elaborated.graph.outputs)

    def __repr__(self) -> str:
        inputs = ", ".join(describe_input(a) for a in self.elaborated.graph.inputs)
        return f"<dln network {self.name}: {inputs} → {', '.join(self.outputs)}>"

    def equations(self, *, gradient: bool = True, latex: bool = False) -> list[str]:
        """The derived equations of the gradient, one per family and weight; or the network's own. Text or LaTeX."""
        from ..compiler.printing.equations import forward_equations, gradient_equations

        graph = self.elaborated.graph
        equations = gradient_equations(graph) if gradient else forward_equations(graph)
        return [equation.latex if latex else equation.text for equation in equations]

    # ---------------------------------------------------------------------------------------------- running

    def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
        """The values of all layers: name → array, samples first.

        Any number of samples. An array may also be one sample without the samples' axis; then the outputs are so too.
        Inputs that no layer needs (labels) may be left out. Raises InputError.
        """
        with self._lock:
            samples = self._samples(inputs, self._needed("forward"))
            return self._forward(samples)

    def loss_and_gradient(
        self, *, training: bool = False, **inputs: Any
    ) -> tuple[float, dict[str, np.ndarray]]:
        """The loss, and its derivative by every weight that is not frozen: name → array of the weight's shape.

        Exact for any number of samples. `training` says what `training` is in the file (dropout and the like).
        """
        with self._lock:
            self._needs_loss()
            needed = self._needed("gradient")
            units = self._needed("forward") if self.outputs else ()
            labels = [n for n in needed if n not in units]
            samples = self._samples(inputs, needed, finite=labels)
            assert self.elaborated.graph.loss is not None
            loss = self.elaborated.graph.loss
            execution = self._executions.for_samples(samples.count, [loss], training=training)
            additive = self._executions.couplings(training).get(loss) == "sum"
            return execution.loss_and_gradient(
                samples.arrays, samples.count, training=training, additive=additive
            )

    def evaluate(self, data: Mapping[str, Any] | None = None, part: str = "test") -> Figures:
        """Loss and metrics: of arrays {input: array}, or of a part of the file's own data."""
        with self._lock:
            self._needs_loss()
            arrays = self._data(None)[part] if data is None else self._checked(data)
            return self._evaluate(self._main, arrays)

    def predict(self, data: Mapping[str, Any] | None = None, part: str = "test") -> dict[str, np.ndarray]:
        """The values of all layers: for arrays {input: array}, or for a part of the file's own data."""
        with self._lock:
            if data is not None:
                return self._forward(self._samples(data, self._needed("forward")))
            arrays = self._data(None)[part]
            return self._forward(Samples(arrays, count_samples(arrays)))

    def generate(
        self,
        prompt: str = "",
        *,
        length: int | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        layer: str | None = None,
    ) -> Iterator[str]:
        """The tokens that follow a prompt, one after the other, of a network that learns from a text (see generation.py).

        length        so many tokens; None: without end, and of pairs to the end of the target
        temperature   of the softmax that tokens are drawn by; 0: always the likeliest
        layer         of the scores; None: the layer that the loss speaks of

        Raises InputError.
        """
        from .generation import generate

        with self._lock:
            return generate(self, prompt, length=length, temperature=temperature, seed=seed, layer=layer)

    def execution_for(self, capacity: int | None = None) -> Execution:
        """The network compiled for minibatches of `capacity` samples (default: of its training), with the weights as they are."""
        with self._lock:
            return self._executions.of_capacity(capacity or self._main.program.capacity)

    def load_data(self, data: Mapping[str, Any] | None = None) -> Data:
        """The data of `train`, split into its parts: the file's own, or made of arrays."""
        with self._lock:
            return self._data(data)

    def train(
        self,
        data: Mapping[str, Any] | Data | None = None,
        *,
        epochs: int | None = None,
        batch: int | Literal["all"] | None = None,
        seed: int | None = None,
        patience: int | None = None,
        on_epoch: Callable[[Record], Any] | None = None,
        on_progress: OnProgress | None = None,
        state: TrainingState | None = None,
        optimizer: OuterOptimizer | None = None,
        keeper: Keeper | None = None,
        traces: bool = True,
    ) -> History:
        """Train, and leave in `weights` the best ones (by the validation part, where there is one).

        data         None: the file's data section; {input: array}; or {"train": {input: array}, "validation": …}
        epochs, batch, seed, patience
                     instead of the file's (seed: of the order of the samples; batch: also "all")
        on_epoch     called with the `Record` of every epoch; a true answer ends the training
        on_progress  called often with (samples done in this epoch, samples in all, running means)
        state        of an earlier training, to go on from there; a fresh one is filled while the training runs
        keeper       is given the state now and then: see `Keeper`
        traces       where something became NaN or infinite: look for the equation in which that began
        optimizer    an object with a method step(weights, objective), instead of the file's: see `OuterOptimizer`

        Raises InputError, TrainingDiverged, and on Ctrl-C TrainingInterrupted (a KeyboardInterrupt); in every case the
        network holds the best weights so far.
        """
        from .data.reading import Data
        from .training.trainings import Watchers, changed_plan, train

        with self._lock:
            self._needs_loss()
            plan = changed_plan(self.plan, epochs=epochs, batch=batch, seed=seed, patience=patience)
            parts = data if isinstance(data, Data) else self._data(data, fit=True)
            watchers = Watchers(on_epoch, on_progress, keeper, traces)
            return train(
                self._executions, plan, parts, self._evaluate, watchers, state=state, optimizer=optimizer
            )

    def make_code(self, *routines: str) -> None:
        """Make the machine code of routines ('train', 'evaluate', 'gradient', 'forward') now, not when first used."""
        with self._lock:
            for routine in routines:
                if routine in self._main.program.routines:
                    self._main.compiled.code.load(routine)

    # ---------------------------------------------------------------------------------------------- weights

    def initialize(self, seed: int) -> None:
        """Set all weights and states to their first values."""
        with self._lock:
            self._executions.initialize(self._main, seed)

    def saved_arrays(self) -> dict[str, np.ndarray]:
        """What a file of weights holds: the weights, and the states of the network (not those of the optimizer)."""
        return self._main.memory.copy_of(self._executions.names("weight", "state"))

    def save(self, path: str | Path) -> None:
        """Write the weights as safetensors; the file is replaced as a whole."""
        from . import checkpoint

        with self._lock:
            metadata = {"network": self.name, "precision": self.precision}
            arrays = self.saved_arrays() | self.statistics.saved()
            checkpoint.write_weights(path, arrays, metadata)

    def restore(self, path: str | Path) -> None:
        """Read what `save` wrote. Raises WeightError, with all that is missing, unexpected or of another shape."""
        from . import checkpoint
        from .data.fitted_calls import PREFIX, FittedStatistics

        saved = checkpoint.read_weights(path)
        arrays = {name: value for name, value in saved.items() if not name.startswith(PREFIX)}
        with self._lock:
            checkpoint.check_names(arrays, self.saved_arrays(), f"'{path}'")
            self._main.memory.put_back(arrays)
            self.statistics = FittedStatistics.restored(saved)

    # ---------------------------------------------------------------------------------------------- inside

    def _needed(self, routine: str) -> tuple[str, ...]:
        found = self._main.program.routines.get(routine)
        if found is None:
            what = {"forward": "declares no layer", "gradient": "has no weight that learns"}
            raise InputError(f"'{self.name}' {what.get(routine, 'declares no loss')}")
        return found.inputs

    def _needs_loss(self) -> None:
        if self.elaborated.graph.loss is None:
            raise InputError(f"'{self.name}' declares no loss")

    def _samples(
        self, given: Mapping[str, Any], needed: tuple[str, ...], finite: list[str] | None = None
    ) -> Samples:
        inputs = self.elaborated.graph.inputs
        return check_samples(given, inputs, self.precision, needed=needed, finite=finite or ())

    def _checked(self, given: Mapping[str, Any]) -> Arrays:
        """Arrays to train on or to measure with: nothing missing, every number finite."""
        reals = [a.name for a in self.elaborated.graph.inputs if a.type == "real"]
        needed = self._needed("evaluate")
        arrays = self._samples(given, needed, finite=reals).arrays
        for name in reals:
            if name in arrays:
                wrong = ~np.isfinite(arrays[name])
                refuse_where(wrong, name, f"is too large for {self.precision}", arrays[name])
        return arrays

    def _forward(self, samples: Samples) -> dict[str, np.ndarray]:
        execution = self._executions.for_samples(samples.count, self.outputs, averaged=False)
        outputs = execution.forward(samples.arrays, samples.count)
        return {n: v[0] for n, v in outputs.items()} if samples.single else outputs

    def _evaluate(
        self,
        weights: Execution,
        arrays: Mapping[str, np.ndarray],
        *,
        epoch: int = 0,
        interrupt: Interrupt | None = None,
    ) -> Figures:
        """Loss and metrics of the weights that an execution holds."""
        graph = self.elaborated.graph
        count = count_samples(arrays)
        families = [*graph.metrics.values(), *([graph.loss] if graph.loss else [])]
        execution = self._executions.for_samples(count, families, weights=weights)
        return execution.evaluate(arrays, count, epoch=epoch, interrupt=interrupt)

    def _data(self, data: Mapping[str, Any] | None, *, fit: bool = False) -> Data:
        """`fit`: the statistics anew, though some were restored with the weights."""
        from .data.reading import Data, from_arrays, load_data

        if data is None and not self.elaborated.graph.inputs:
            return Data({"train": {}}, "no inputs")
        if data is not None:
            return from_arrays(data, self.elaborated, self._checked)
        known = None if fit or not self.statistics.found else self.statistics
        loaded = load_data(self.elaborated, self.precision, self.folder, known)
        self.statistics = loaded.statistics
        return loaded
