"""Random draws: the generator against published bits, its machine code against NumPy, and what a network promises of them."""

from __future__ import annotations

import ctypes

import dln
import numpy as np
import pytest
from dln.compiler.machine.native import compile_text, host_target, load_code
from dln.compiler.machine.vector_math import definitions, function_name
from dln.compiler.mathematics.threefry import threefry, uniform
from dln.compiler.source import DiagnosticError

ONES = 0xFFFFFFFF
PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)

#: The known answers that come with the authors' own implementation (Random123, kat_vectors): rounds, key, counter, words.
KNOWN = [
    (13, (0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
    (13, (ONES, ONES), (ONES, ONES), (0xFD36D048, 0x2D17272C)),
    (13, PI[2:], PI[:2], (0xBA3E4725, 0xF27D669E)),
    (20, (0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    (20, (ONES, ONES), (ONES, ONES), (0x1CB996FC, 0xBB002BE7)),
    (20, PI[2:], PI[:2], (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize("rounds, key, counter, words", KNOWN)
def test_published_bits(rounds: int, key: tuple, counter: tuple, words: tuple) -> None:
    assert tuple(map(int, threefry(key, counter, rounds))) == words


@pytest.mark.parametrize(
    "lanes, precision", [(1, "float32"), (4, "float64"), (8, "float32"), (16, "float32")]
)
@pytest.mark.parametrize("name, word", [("random", 0), ("random2", 1)])
def test_machine_code_gives_the_same_numbers(name: str, word: int, lanes: int, precision: str) -> None:
    called = function_name(name, lanes, precision)
    real = "float" if precision == "float32" else "double"
    words, reals = (f"<{lanes} x {t}>" if lanes > 1 else t for t in ("i32", real))
    text = f"""{definitions([called])}
define void @draw(ptr %in, ptr %out) {{
  {"".join(f"%p{n} = getelementptr i8, ptr %in, i64 {4 * lanes * n} " + chr(10) for n in range(5))}
  {"".join(f"%w{n} = load {words}, ptr %p{n}, align 4" + chr(10) for n in range(5))}
  %value = call {reals} @{called}({", ".join(f"{words} %w{n}" for n in range(5))})
  store {reals} %value, ptr %out, align 4
  ret void
}}
"""
    library = load_code([compile_text(text, host_target())], ["draw"])
    draw = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(library.addresses["draw"])
    generator = np.random.default_rng(lanes)
    for _ in range(50):
        given = generator.integers(0, 2**32, (5, lanes), dtype=np.uint32)
        out = np.empty(lanes, precision)
        draw(given.ctypes.data, out.ctypes.data)
        np.testing.assert_array_equal(out, uniform(*given.astype(np.int64), word=word))
    assert library.addresses


DRAWS = """
input x[5]
layer flip[j: 5]  = bernoulli(0.3) + 0 * x[j]
layer bell[j: 5]  = normal(2, 3) + 0 * x[j]
layer flat[j: 5]  = uniform(-1, 4) + 0 * x[j]
layer shared[j: 5] = normal(0, 1)
"""


def drawn(samples: int = 20_000, **options: object) -> dict[str, np.ndarray]:
    net = dln.compile(DRAWS, **options)  # type: ignore[arg-type]
    return net(x=np.zeros((samples, 5)))


def test_the_numbers_have_the_distributions_that_they_are_said_to_have() -> None:
    values = drawn(200_000, precision="float64")
    flip, bell, flat = (values[n].ravel() for n in ("flip", "bell", "flat"))
    count = flip.size  # a million: 5 standard errors
    assert set(np.unique(flip)) == {0.0, 1.0} and abs(flip.mean() - 0.3) < 5 * np.sqrt(0.21 / count)
    assert abs(bell.mean() - 2) < 5 * 3 / np.sqrt(count) and abs(bell.std() - 3) < 5 * 3 / np.sqrt(2 * count)
    assert flat.min() > -1 and flat.max() < 4
    for sorted_values, distribution in (
        (np.sort(flat), lambda v: (v + 1) / 5),
        (np.sort(bell), lambda v: np.interp(v, *normal_distribution())),
    ):
        steps = np.arange(count) / count
        assert np.abs(distribution(sorted_values) - steps).max() < 1.95 / np.sqrt(count)  # Kolmogorov, 0.1 %
    pairs = values["bell"] - 2
    for shift in (1, 2, 5, 16):
        assert abs(np.mean(pairs.ravel()[shift:] * pairs.ravel()[:-shift])) < 5 * 9 / np.sqrt(count)


def normal_distribution() -> tuple[np.ndarray, np.ndarray]:
    """Points and values of the distribution function of normal(2, 3), by summing its density."""
    points = np.linspace(-20, 24, 200_001)
    density = np.exp(-(((points - 2) / 3) ** 2) / 2)
    return points, np.cumsum(density) / density.sum()


def test_a_draw_that_depends_on_no_input_is_one_for_all_samples() -> None:
    shared = drawn(7)["shared"]
    assert (shared == shared[0]).all() and len(np.unique(shared[0])) == 5


def test_same_seed_same_bits() -> None:
    """Whatever the threads, the size of the minibatches, the precision; other seeds, other bits."""
    first = drawn(100, seed=3)
    for options in ({"threads": 1}, {"threads": 2}, {"batch": 4}, {"batch": 64}, {"batch": 7}):
        settings = {k: v for k, v in options.items() if k == "threads"}
        text = DRAWS + (f"train {{ batch {options['batch']} }}" if "batch" in options else "")
        net = dln.compile(text, seed=3, **settings)
        for name, values in net(x=np.zeros((100, 5))).items():
            np.testing.assert_array_equal(values, first[name], err_msg=f"{name} {options}")
    double = drawn(100, seed=3, precision="float64")
    np.testing.assert_array_equal(double["flip"], first["flip"])
    np.testing.assert_allclose(double["bell"], first["bell"], rtol=1e-5, atol=1e-5)
    other = drawn(100, seed=4)
    assert abs(np.corrcoef(other["bell"].ravel(), first["bell"].ravel())[0, 1]) < 0.2


NOISY = """
input x[6]
input t[3]
weight w[6, 3] ~ normal(0, 1)
weight width[3] = 0.5
let   hidden[i] = x[i] * bernoulli(0.6) / 0.6
layer y[j: 3] = sum[i] w[i, j] * bernoulli(0.5) * tanh(hidden[i]) + normal(0, width[j])
loss  mean_squared_error(y, t)
train {
  batch 8
  optimizer sgd(rate = 0.01)
}
"""


def test_forward_and_backward_see_the_same_numbers() -> None:
    """The derivative is that of the loss with these numbers: central differences, in double precision."""
    net = dln.compile(NOISY, precision="float64")
    generator = np.random.default_rng(0)
    batch = {"x": generator.standard_normal((11, 6)), "t": generator.standard_normal((11, 3))}
    loss, gradient = net.loss_and_gradient(**batch)
    assert loss == net.loss_and_gradient(**batch)[0]
    for name, slopes in gradient.items():
        view = net.weights[name]
        for place in np.ndindex(view.shape):
            middle, found = view[place], []
            for shift in (1e-6, -1e-6):
                view[place] = middle + shift
                found.append(net.loss_and_gradient(**batch)[0])
            view[place] = middle
            assert slopes[place] == pytest.approx((found[0] - found[1]) / 2e-6, rel=1e-6, abs=1e-8)


def test_every_step_draws_anew_and_the_same_training_repeats() -> None:
    net = dln.compile(NOISY.replace("rate = 0.01", "rate = 0"), seed=1)
    data = {"x": np.ones((8, 6)), "t": np.zeros((8, 3))}
    losses = [r.train["loss"] for r in net.train({"train": data}, epochs=6)]
    assert len(set(losses)) == 6
    again = dln.compile(NOISY.replace("rate = 0.01", "rate = 0"), seed=1, threads=1)
    assert losses == [r.train["loss"] for r in again.train({"train": data}, epochs=6)]


def test_a_function_that_draws_draws_anew_in_every_call_and_once_for_its_argument() -> None:
    text = """
function noisy(z)  = z + normal(0, 1)
function square(z) = z * z - z^2
input x[4]
layer differ[j: 4] = noisy(x[j]) - noisy(x[j])
layer same[j: 4]   = square(uniform(0, 1) + 0 * x[j])
layer again[j: 4]  = square(sum[i: 3] x[j] * uniform(0, 1))
"""
    values = dln.compile(text)(x=np.ones((50, 4)))
    assert np.abs(values["differ"]).min() > 0
    assert np.abs(values["same"]).max() < 1e-6 and np.abs(values["again"]).max() < 1e-6


@pytest.mark.parametrize(
    "text, code",
    [
        ("param p = uniform(0, 1)\ninput x[3]\nlayer y[j: 3] = p * x[j]", "E222"),
        ("input x[3]\nlayer y[bernoulli(0.5)] = dense(x)", "E222"),
        ("input x[3]\nlayer y[j: 3] = x[j] * bernoulli()", "E205"),
        ("input x[3]\nlayer y[j: 3] = x[j] * normal(0, 1, 2)", "E205"),
        ("input x[3]\nstate s[3] = normal(0, 1)\nlayer y[j: 3] = x[j] * s[j]", "E219"),
        (
            "block d(x[..], keep) -> y[..] { let y[..] = x[..] * keep }\n"
            "input x[3]\nlayer y[3] = d(x, uniform(0, 1))",
            "E222",
        ),
    ],
)  # fmt: skip
def test_where_nothing_can_be_drawn(text: str, code: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        dln.compile(text)
    assert code in [d.code for d in caught.value.diagnostics]
