"""Attention and transformers of the prelude against PyTorch: values and derivatives, several shapes, both precisions."""

from __future__ import annotations

from typing import Any

import pytest
from dln.tests.oracle.torch_comparison import compare

torch = pytest.importorskip("torch")
F = torch.nn.functional
#: A key's bias adds the same to all scores of a query, and its derivative is 0 but for rounding.
KEY_BIAS = 0.1
pytestmark = pytest.mark.parametrize("precision", ["float32", "float64"])

# leading axes, queries, keys, units of queries, units of values
SHAPES = [((), 5, 4, 3, 2), ((), 1, 1, 1, 1), ((2,), 3, 6, 4, 5), ((2, 3), 4, 2, 5, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block", ["attention", "causal_attention", "dot_attention", "additive_attention"])
def test_attention(block: str, shape: tuple, precision: str) -> None:
    leading, t, s, d, e = shape
    s = t if block == "causal_attention" else s
    sizes = {"q": (*leading, t, d), "k": (*leading, s, d), "v": (*leading, s, e)}
    axes = "abcd"[: len(leading) + 2]
    text = "".join(
        f"input {n}0[{', '.join(map(str, size))}]\nweight {n}w[{', '.join(map(str, size))}]\n"
        f"let {n}[{', '.join(axes)}] = {n}w[{', '.join(axes)}] * {n}0[{', '.join(axes)}]\n"
        for n, size in sizes.items()
    )
    extra = ", units = 3" if block == "additive_attention" else ""
    text += f"""
layer y[{", ".join(map(str, (*leading, t, e)))}] = {block}(q, k, v{extra})
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        q, k, v = (w[f"{n}w"] * x[f"{n}0"] for n in "qkv")
        if block == "additive_attention":
            both = (q @ w["y.Q"])[..., :, None, :] + (k @ w["y.K"])[..., None, :, :]
            y = torch.softmax(torch.tanh(both) @ w["y.w"], -1) @ v
        else:
            scale = {"scale": 1.0} if block == "dot_attention" else {}
            y = F.scaled_dot_product_attention(q, k, v, is_causal=block == "causal_attention", **scale)
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision, samples=3, spread=1.0)


def attention_weights(w: Any, at: str, units: int) -> dict[str, Any]:
    """The weights of an attention with heads, as PyTorch's function takes them."""
    rows = {n: w[f"{at}.{n}"].reshape(w[f"{at}.{n}"].shape[0], -1).T for n in ("query", "key", "value")}
    biases = [w[f"{at}.{n}_bias"].reshape(-1) for n in ("query", "key", "value")]
    return {
        "use_separate_proj_weight": True,
        "in_proj_weight": None,
        "q_proj_weight": rows["query"],
        "k_proj_weight": rows["key"],
        "v_proj_weight": rows["value"],
        "in_proj_bias": torch.cat(biases),
        "out_proj_weight": w[f"{at}.output"].reshape(-1, units).T,
        "out_proj_bias": w[f"{at}.output_bias"],
    }


def heads_of_pytorch(w: Any, at: str, x: Any, memory: Any, heads: int, causal: bool = False) -> Any:
    units, steps = x.shape[-1], x.shape[1]
    mask = torch.triu(torch.ones(steps, steps, dtype=torch.bool), 1) if causal else None
    y, _ = F.multi_head_attention_forward(
        x.transpose(0, 1), memory.transpose(0, 1), memory.transpose(0, 1), units, heads,
        bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0, training=False,
        need_weights=False, attn_mask=mask, **attention_weights(w, at, units),
    )  # fmt: skip
    return y.transpose(0, 1)


@pytest.mark.parametrize("steps, units, heads", [(5, 6, 2), (4, 4, 4), (3, 5, 1), (1, 2, 1)])
@pytest.mark.parametrize("mechanism", ["", ", mechanism = causal_attention"])
def test_self_attention(mechanism: str, steps: int, units: int, heads: int, precision: str) -> None:
    text = f"""
input x[{steps}, {units}]
layer y[{steps}, {units}] = self_attention(x, {heads}{mechanism})
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        y = heads_of_pytorch(w, "y", x["x"], x["x"], heads, causal=bool(mechanism))
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision, least=KEY_BIAS)


@pytest.mark.parametrize("shape", [(5, 6, 3, 4, 2), (2, 4, 7, 1, 4)], ids=str)
def test_cross_attention(shape: tuple[int, ...], precision: str) -> None:
    steps, units, others, width, heads = shape
    text = f"""
input x[{steps}, {units}]
input memory[{others}, {width}]
layer y[{steps}, {units}] = cross_attention(x, memory, {heads})
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        y = heads_of_pytorch(w, "y", x["x"], x["memory"], heads)
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision, least=KEY_BIAS)


def dense(w: Any, at: str, x: Any) -> Any:
    return x @ w[f"{at}.w"] + w[f"{at}.b"]


def norm(w: Any, at: str, x: Any) -> Any:
    return F.layer_norm(x, x.shape[-1:], w[f"{at}.scale"], w[f"{at}.shift"])


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_feed_forward(activation: str, shape: tuple[int, ...], precision: str) -> None:
    size = ", ".join(map(str, shape))
    text = f"""
input x[{size}]
layer y[{size}] = feed_forward(x, hidden = 5, activation = {activation})
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        y = dense(w, "y.y", getattr(F, activation)(dense(w, "y.inner", x["x"])))
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision)


def encoder_layer(
    w: Any, precision: str, steps: int, units: int, heads: int, pre_norm: bool, causal: bool
) -> Any:
    """PyTorch's own layer, as a function of our weights."""
    layer = torch.nn.TransformerEncoderLayer(
        units, heads, 7, dropout=0.0, activation="gelu", batch_first=True, norm_first=pre_norm,
        dtype=getattr(torch, precision),
    )  # fmt: skip
    first, second = ("first", "second") if pre_norm else ("middle", "y")
    parts = attention_weights(w, "y.attended", units)
    values = {
        "self_attn.in_proj_weight": torch.cat([parts[f"{n}_proj_weight"] for n in "qkv"]),
        "self_attn.in_proj_bias": parts["in_proj_bias"],
        "self_attn.out_proj.weight": parts["out_proj_weight"],
        "self_attn.out_proj.bias": parts["out_proj_bias"],
        "linear1.weight": w["y.changed.inner.w"].T,
        "linear1.bias": w["y.changed.inner.b"],
        "linear2.weight": w["y.changed.y.w"].T,
        "linear2.bias": w["y.changed.y.b"],
        "norm1.weight": w[f"y.{first}.scale"],
        "norm1.bias": w[f"y.{first}.shift"],
        "norm2.weight": w[f"y.{second}.scale"],
        "norm2.bias": w[f"y.{second}.shift"],
    }
    mask = torch.triu(torch.ones(steps, steps, dtype=torch.bool), 1) if causal else None
    return lambda x: torch.func.functional_call(layer, values, (x,), {"src_mask": mask})


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("block", ["transformer_layer", "pre_norm_transformer_layer"])
def test_transformer_layer(block: str, causal: bool, precision: str) -> None:
    steps, units, heads = 5, 6, 3
    mechanism = "mechanism = causal_attention, " if causal else ""
    text = f"""
input x[{steps}, {units}]
layer y[{steps}, {units}] = {block}(x, {heads}, hidden = 7, {mechanism}activation = gelu)
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        y = encoder_layer(w, precision, steps, units, heads, "pre_norm" in block, causal)(x["x"])
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision, least=KEY_BIAS)


@pytest.mark.parametrize("steps, reading", [(4, ""), (5, ", reading = causal_attention")])
def test_transformer_decoder_layer(steps: int, reading: str, precision: str) -> None:
    text = f"""
input x[5, 6]
input memory[{steps}, 3]
layer y[5, 6] = transformer_decoder_layer(x, memory, heads = 2, hidden = 7{reading})
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        own = heads_of_pytorch(w, "y.attended", x["x"], x["x"], 2, causal=True)
        middle = norm(w, "y.middle", x["x"] + own)
        read = heads_of_pytorch(w, "y.read", middle, x["memory"], 2, causal=bool(reading))
        mixed = norm(w, "y.mixed", middle + read)
        changed = dense(w, "y.changed.y", F.relu(dense(w, "y.changed.inner", mixed)))
        y = norm(w, "y.y", mixed + changed)
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision, least=KEY_BIAS)


@pytest.mark.parametrize("block", ["add_positions", "add_learned_positions"])
@pytest.mark.parametrize("steps, units", [(7, 6), (3, 5), (1, 1)])
def test_positions(block: str, steps: int, units: int, precision: str) -> None:
    text = f"""
input x[{steps}, {units}]
weight w[{units}]
let   z[t, j] = w[j] * x[t, j]
layer y[{steps}, {units}] = {block}(z)
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        added = w.get("y.position")
        if added is None:
            t = torch.arange(steps, dtype=torch.float64)[:, None]
            j = torch.arange(units, dtype=torch.float64)
            phase = t / 10000 ** ((j - j % 2) / units)
            added = torch.where(j % 2 == 0, torch.sin(phase), torch.cos(phase)).to(x["x"].dtype)
        y = w["w"] * x["x"] + added
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision)
