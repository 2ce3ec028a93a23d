"""The embedded patients: their truth holds, and a seed always gives the same."""

import numpy as np
import pytest
from scipy import ndimage

from workflow_scripts.cohort.make_phantom import save_phantom
from workflow_scripts.common.masks import largest_voxels
from workflow_scripts.phantoms.deformation import integrate, symmetric
from workflow_scripts.phantoms.phantom import displacement, make_phantom
from workflow_scripts.phantoms.plan import plan_phantom
from workflow_scripts.phantoms.random_fields import (
    move,
    rotation,
    sample,
    smooth_noise,
    voxel_points,
)
from workflow_scripts.phantoms.tumour import grow


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_same_plan_gives_the_same_bytes(plan, phantom, phantom_settings, tmp_path):
    again = make_phantom(plan, list(phantom.images), phantom_settings)
    save_phantom(phantom, tmp_path / "one")
    save_phantom(again, tmp_path / "two")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    names = {"flair.nii.gz", "t1ce.nii.gz", "label.nii.gz", "brain_mask.nii.gz", "truth.json"}
    assert set(bytes_of(tmp_path / "one")) == names


def test_plans_differ_by_name_and_by_seed(phantom_settings):
    one = plan_phantom("a", 0, phantom_settings)
    assert one == plan_phantom("a", 0, phantom_settings)
    assert one.volume_ml != plan_phantom("b", 0, phantom_settings).volume_ml
    assert one.volume_ml != plan_phantom("a", 1, phantom_settings).volume_ml


def test_planned_volumes_are_log_uniform(phantom_settings):
    plans = [plan_phantom(f"p{k}", 0, phantom_settings) for k in range(400)]
    volumes = np.array([p.volume_ml for p in plans])
    low, high = phantom_settings.volume_ml
    assert low <= volumes.min() and volumes.max() <= high
    assert np.median(volumes) == pytest.approx(np.sqrt(low * high), rel=0.2)


def test_tumour_has_its_volume_and_regions_and_lies_in_the_brain(plan, phantom):
    label, brain = phantom.label, phantom.brain
    assert np.count_nonzero(label) / 1000 == pytest.approx(plan.volume_ml, rel=0.01)
    assert set(np.unique(label)) == {0, 1, 2, 3}
    assert brain[label > 0].all()
    assert phantom.truth["volume_ml"] == np.count_nonzero(label) / 1000


def test_head_is_plausible(phantom):
    litres = np.count_nonzero(phantom.brain) / 1e6
    assert 1.1 < litres < 2.1
    t1ce = phantom.images["t1ce"]
    assert t1ce.dtype == np.int16
    assert t1ce.shape == phantom.label.shape == phantom.brain.shape
    brain = phantom.brain > 0
    outside = ndimage.distance_transform_edt(~brain)
    shells = [t1ce[(outside > r) & (outside <= r + 1)] for r in range(6)]
    tissue = np.median(t1ce[brain])
    air = np.median(t1ce[outside > 35])
    # From the brain outwards: dark bone, bright scalp, dark air.
    assert min(np.median(shell) for shell in shells) < 0.5 * tissue
    assert air < 0.15 * tissue
    assert np.percentile(t1ce[(outside > 9) & (outside < 16)], 90) > 0.9 * tissue


def test_tumour_can_be_seen(plan, phantom):
    flair, t1ce = (move_to_reference(phantom, m) for m in ("flair", "t1ce"))
    label = phantom.label
    near = ndimage.binary_dilation(label > 0, iterations=12) & (label == 0) & (phantom.brain > 0)
    assert flair[label == 2].mean() > flair[near].mean() + 0.5 * flair[near].std()
    assert t1ce[label == 3].mean() > t1ce[near].mean() + t1ce[near].std()


def move_to_reference(phantom, modality):
    """The image of a modality, carried onto the reference by the true transform."""
    to_reference = np.array(phantom.truth["to_reference"][modality])
    back = np.linalg.inv(phantom.affine) @ np.linalg.inv(to_reference) @ phantom.affine
    return move(phantom.images[modality].astype(np.float32), back)


def test_true_displacement_undoes_the_shift(phantom):
    inside = ndimage.binary_erosion(phantom.brain > 0, iterations=3)
    reference = phantom.images["t1ce"].astype(np.float32)

    def agreement(image):
        edges = [ndimage.gaussian_gradient_magnitude(v, 1.0)[inside] for v in (image, reference)]
        return np.corrcoef(edges)[0, 1]

    before = agreement(phantom.images["flair"].astype(np.float32))
    after = agreement(move_to_reference(phantom, "flair"))
    assert after > before + 0.1


def test_reference_is_at_rest(plan, phantom):
    assert phantom.truth["reference"] == "t1ce"
    assert np.array_equal(phantom.truth["to_reference"]["t1ce"], np.eye(4))
    matrix = np.array(phantom.truth["to_reference"]["flair"])
    turn = matrix[:3, :3]
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert 0 < np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 6
    middle = (phantom.affine @ [*((np.array(phantom.label.shape) - 1) / 2), 1])[:3]
    assert np.allclose(matrix, displacement(plan, "flair", middle))


def test_affine_is_a_millimetre_grid_but_oblique(phantom):
    axes = phantom.affine[:3, :3]
    assert np.allclose(np.linalg.norm(axes, axis=0), 1)
    assert not np.allclose(axes, np.diag(np.diag(axes)))


def test_template_lies_where_the_truth_says(phantom):
    brain = np.argwhere(phantom.brain)
    to_template = np.array(phantom.truth["to_template"]) @ phantom.affine
    centre = (to_template @ [*brain.mean(0), 1])[:3]
    assert np.linalg.norm(centre - [0, -20, 8]) < 10  # of the MNI152 brain mask
    # Left and right are where the affine says: the deformation is small.
    spread = np.ptp((to_template[:3, :3] @ brain.T), axis=1)
    assert np.all(np.abs(spread - [145, 181, 155]) < 20)


def test_deformation_can_be_undone():
    rng = np.random.default_rng(0)
    velocity = np.stack([2 * smooth_noise(rng, (24, 24, 24), 8) for _ in range(3)])
    forth, back = integrate(velocity), integrate(-velocity)
    points = voxel_points((24, 24, 24))
    there = points + forth
    returned = there + sample(back, there)
    inner = (slice(None), *[slice(7, 17)] * 3)
    assert np.abs(returned - points)[inner].mean() < 0.05
    assert np.abs(forth[inner]).mean() > 0.5


@pytest.mark.parametrize("asymmetry", [0.0, 0.3, 1.0])
def test_hemispheres_deform_alike_by_the_share_that_is_asked_for(asymmetry):
    noise = np.random.default_rng(0).standard_normal((3, 31, 30, 30), dtype=np.float32)
    field = symmetric(noise, asymmetry)
    mirrored = field[:, ::-1] * np.array([-1, 1, 1])[:, None, None, None]
    assert np.std(field - mirrored) / 2 == pytest.approx(asymmetry, abs=0.02)
    assert np.std(field) == pytest.approx(1, abs=0.02)
    independent = symmetric(noise, np.sqrt(0.5))
    np.testing.assert_allclose(independent, noise, atol=1e-5)


def test_growth_stays_in_the_tissue_and_prefers_white_matter():
    tissue = np.ones((40, 40, 20), bool)
    tissue[:, 30:] = False
    diffusion = np.full(tissue.shape, 0.01, np.float32)
    diffusion[20:] = 0.15
    seeds = np.zeros_like(tissue)
    seeds[20, 20, 10] = True
    burden = grow(seeds, tissue, diffusion, 1500)
    assert burden[~tissue].max() == 0
    whole = largest_voxels(burden, tissue, 1500)
    assert whole.sum() == 1500
    assert whole[20:].sum() > 2 * whole[:20].sum()


def test_rotation_turns_right_handed():
    assert np.allclose(rotation((0, 0, 90)) @ [1, 0, 0], [0, 1, 0])
    assert np.allclose(rotation((90, 0, 0)) @ [0, 1, 0], [0, 0, 1])
    assert np.allclose(rotation((0, 90, 0)) @ [0, 0, 1], [1, 0, 0])


def test_move_and_sample_agree():
    rng = np.random.default_rng(0)
    volume = rng.standard_normal((9, 11, 13), dtype=np.float32)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation((5, -3, 8))
    matrix[:3, 3] = (0.5, -0.25, 1)
    points = voxel_points(volume.shape)
    target = np.einsum("ij,jxyz->ixyz", matrix[:3, :3], points) + matrix[:3, 3, None, None, None]
    assert np.allclose(move(volume, matrix), sample(volume[None], target)[0], atol=1e-4)


def test_deepbet_finds_the_true_brain(phantom, tmp_path):
    import nibabel as nib
    from deepbet import run_bet

    save_phantom(phantom, tmp_path)
    out = tmp_path / "bet.nii.gz"
    run_bet([str(tmp_path / "t1ce.nii.gz")], mask_paths=[str(out)], no_gpu=True)
    found = np.asarray(nib.load(out).dataobj) > 0
    truth = phantom.brain > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) >= 0.96
