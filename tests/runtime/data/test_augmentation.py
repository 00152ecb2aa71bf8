"""Augmentation against scipy.ndimage, against exact cases, and in trainings: the same bits by seed, only in the training part."""

from __future__ import annotations

import dln
import numpy as np
import pytest
from dln.compiler.source import DiagnosticError
from dln.runtime.data.augmentation import Augmentation, _matrices, resampled, shifted
from dln.runtime.data.reading import check_section, load_data
from dln.tests.runtime.sections import section

DRAWS = np.random.default_rng(5)


@pytest.mark.parametrize("shape", [(4, 9, 12), (3, 2, 8, 8), (2, 1, 1, 5)])
def test_resampling_equals_scipy(shape):
    ndimage = pytest.importorskip("scipy.ndimage")
    images = DRAWS.normal(size=shape)
    count, height, width = len(images), *shape[-2:]
    angles, factors = DRAWS.uniform(-2, 2, count), DRAWS.uniform(0.6, 1.5, (2, count)) * [[1], [-1]]
    shifts = DRAWS.uniform(-3, 3, (2, count))
    matrices = _matrices(angles, factors)
    moved = resampled(images, matrices, shifts, -7.0)
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    for n in range(count):
        offset = middle - matrices[n] @ (middle + shifts[:, n])
        for plane, got in zip(
            images[n].reshape(-1, height, width), moved[n].reshape(-1, height, width), strict=True
        ):
            expected = ndimage.affine_transform(
                plane, matrices[n], offset, order=1, mode="grid-constant", cval=-7.0
            )
            np.testing.assert_allclose(got, expected, atol=1e-12)


def test_whole_shifts_and_mirrors_are_exact_and_equal_the_resampled_ones():
    images = DRAWS.normal(size=(64, 2, 5, 7)).astype(np.float32)
    shifts, mirrored = DRAWS.integers(-2, 3, (2, 64)), DRAWS.random((2, 64)) < 0.5
    shifts[:, 0], mirrored[:, 0] = (2, -1), False
    moved = shifted(images, shifts, mirrored, 9.0)
    identity = _matrices(np.zeros(64), np.where(mirrored, -1.0, 1.0))
    np.testing.assert_array_equal(moved, resampled(images, identity, shifts.astype(float), 9.0))
    np.testing.assert_array_equal(moved[0, :, 2:, :-1], images[0, :, :-2, 1:])
    assert (moved[0, :, :2] == 9).all() and (moved[0, :, :, -1] == 9).all()


def test_draws_cover_their_ranges_and_depend_on_seed_and_epoch_alone():
    images = {"image": np.arange(4000 * 9, dtype=np.float32).reshape(4000, 3, 3), "label": np.arange(4000)}
    augmentation = Augmentation("image", horizontal=True, distance=1.0)
    first = augmentation.applied(images, seed=1, epoch=1)
    assert first["label"] is images["label"] and images["image"][5, 0, 0] == 45
    centre = first["image"][:, 1, 1] - images["image"][:, 0, 0]
    values, counts = np.unique(centre, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(9))  # the middle pixel is equally often each of the nine
    assert counts.min() > 350
    np.testing.assert_array_equal(first["image"], augmentation.applied(images, seed=1, epoch=1)["image"])
    for seed, epoch in ((1, 2), (2, 1)):
        assert not np.array_equal(
            first["image"], augmentation.applied(images, seed=seed, epoch=epoch)["image"]
        )


def test_rotation_and_stretching_keep_the_middle_and_the_mean():
    images = {"image": np.zeros((500, 21, 21))}
    images["image"][:, 8:13, 8:13] = 1
    moved = Augmentation("image", angle=0.5, stretch=0.2).applied(images, seed=0, epoch=1)["image"]
    np.testing.assert_allclose(moved[:, 10, 10], 1, atol=1e-9)
    assert moved.sum(axis=(1, 2)).min() > 25 / 1.45 and moved.sum(axis=(1, 2)).max() < 25 * 1.45
    assert abs(moved.sum(axis=(1, 2)).mean() / 25 - 1) < 0.05


TEXT = """network shifts
input  image[8, 8]
input  label: class[10]
layer  score[10] = dense(reshaped(image))
loss   cross_entropy(score, label)
block  reshaped(x[H, W]) -> y[N] {{ let y[n: 64] = x[n div 8, n mod 8] }}
data {{
  from  sklearn.digits
  image = reshape(data, 8, 8) / 16
  label = target
  split 300 train, 100 test
  {augment}
}}
train {{ optimizer sgd(rate = 0.1)
 epochs 3 }}
"""


def test_a_training_sees_other_images_in_every_epoch_and_the_same_ones_by_seed():
    def trained(augment: str, **options) -> tuple[list[float], np.ndarray]:
        net = dln.compile(TEXT.format(augment=augment), **options)
        history = net.train()
        return history.curve("train"), net.weights["score.w"].copy()

    moving = "augment image translate(1), rotate(5.0)"
    plain, augmented = trained(""), trained(moving)
    assert plain[0] != augmented[0]
    for _ in range(2):
        again = trained(moving)
        assert again[0] == augmented[0] and np.array_equal(again[1], augmented[1])
    assert trained(moving, seed=4)[0] != augmented[0]
    one = trained(moving, threads=1)
    assert np.array_equal(one[1], augmented[1])
    still = dln.compile(TEXT.format(augment=moving)).load_data()
    np.testing.assert_array_equal(
        still["train"]["image"], dln.compile(TEXT.format(augment="")).load_data()["train"]["image"]
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("augment label flip(both)", "the images are image"),
        ("augment image", "nothing that could happen"),
        ("augment image outside(1)", "nothing that could happen"),
        ("augment image flip(sideways)", "flip is horizontal, vertical, both"),
        ("augment image rotate(-3)", "'rotate' takes a number from 0, got -3"),
        ("augment image turn(3)", "expected one of flip, rotate"),
        ("augment image translat(3)", "did you mean 'translate'?"),
        ("augment image flip", "expected one of flip, rotate"),
    ],
)
def test_what_is_refused(setting, message):
    with pytest.raises(DiagnosticError) as caught:
        dln.compile(TEXT.format(augment=setting)).load_data()
    assert message in str(caught.value)
    network = section(
        "data {\n from sklearn.digits\n image = data\n augment image flip(both)\n}", {"image": ((64,), None)}
    )
    for look in (check_section, lambda n, folder: load_data(n, "float32", folder)):
        with pytest.raises(DiagnosticError, match="an image has two axes or more"):
            look(network, None)
