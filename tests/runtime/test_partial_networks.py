"""Networks without layers, or without weights: what cannot be asked of them is said, not a KeyError."""

from __future__ import annotations

import dln
import numpy as np
import pytest


def test_a_network_without_layers_has_no_outputs() -> None:
    net = dln.compile(
        "network bare\ninput x[2]\nweight w\nlet y[i] = w * x[i]\nloss average[batch] sum[i] y[i]\n"
    )
    with pytest.raises(dln.InputError, match="'bare' declares no layer"):
        net(x=np.ones((3, 2)))
    _, gradient = net.loss_and_gradient(x=np.ones((3, 2)))
    assert gradient["w"] == pytest.approx(2)


def test_a_network_without_weights_has_no_gradient() -> None:
    net = dln.compile("network fixed\ninput x[2]\nlayer y[i] = 2 * x[i]\nloss average[batch] sum[i] y[i]\n")
    assert net(x=np.ones((3, 2)))["y"].tolist() == [[2, 2]] * 3
    with pytest.raises(dln.InputError, match="'fixed' has no weight that learns"):
        net.loss_and_gradient(x=np.ones((3, 2)))
