"""Preprocessing: geometry kept, modalities aligned, brains found, intensities scaled."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from tests.fakes import Named
from workflow_scripts.common.files import UserError, read_json, read_table, write_json
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import dice
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.common.patients import Patient
from workflow_scripts.preprocess.native import drawn_label, to_native
from workflow_scripts.preprocess.normalise import normalise
from workflow_scripts.preprocess.preprocess_patient import main, save_transform
from workflow_scripts.preprocess.raw_patient import choose_reference, label_frame
from workflow_scripts.preprocess.registration import register_rigid
from workflow_scripts.preprocess.resample import resample_image, resample_label
from workflow_scripts.preprocess.skull_strip import (
    check_brain,
    command_mask,
    deepbet_mask,
    stripped_mask,
)
from workflow_scripts.preprocess.volumes import canonical_volume, grid_image, to_array, to_image

PERSON = "Erika Muster"
COARSE = {"shape": [48, 56, 48], "spacing_mm": [4.0, 4.0, 4.0]}
SETTINGS = {
    "reference": "auto",
    "coregister": "auto",
    "skull_strip": "auto",
    "template": "affine",
    "n4": False,
    "percentiles": [0.5, 99.8],
}


def preprocess(patient, row, modalities, folder, grid=COARSE, **changed):
    """Run the rule's main on one patient, without Snakemake."""
    place = folder / patient
    files = {name: path for name, path in row.items() if name != "label_scheme"}
    main(
        SimpleNamespace(
            input=files,
            params=Named(
                settings={**SETTINGS, **changed},
                grid=grid,
                modalities=modalities,
                reading={"label_scheme": row["label_scheme"], "parts": dict.fromkeys(files)},
            ),
            wildcards=SimpleNamespace(patient=patient),
            output=Named(
                image=str(place / "image.npy"),
                attributes=str(place / "attributes.tsv"),
                picture=str(place / "picture.png"),
            ),
        )
    )
    return place


def head(shape=(80, 96, 80), seed=0):
    """A smooth random volume in a bright ellipsoid, and an oblique affine of 2 mm voxels."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    middle = (np.array(shape) - 1) / 2
    r = (((np.indices(shape).T - middle) / (0.42 * np.array(shape))) ** 2).sum(-1).T
    volume = np.where(r < 1, 100 + 600 * texture, 0).astype(np.float32)
    turn = np.array([[0.98, -0.199, 0], [0.199, 0.98, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * 2.0
    affine[:3, 3] = [-70, -95, -60]
    return volume, affine


def test_a_known_rotation_and_shift_is_recovered():
    volume, affine = head()
    fixed = to_image(volume, affine)
    truth = sitk.Euler3DTransform((5.0, 10.0, 8.0), 0.06, -0.04, 0.08, (4.0, -3.0, 5.0))
    moving = sitk.Resample(fixed, fixed, truth.GetInverse(), sitk.sitkLinear)
    found = register_rigid(fixed, moving)
    for index in ([20, 30, 20], [60, 60, 50], [40, 48, 40]):
        point = fixed.TransformIndexToPhysicalPoint(index)
        error = np.subtract(found.TransformPoint(point), truth.TransformPoint(point))
        assert np.linalg.norm(error) < 0.7


def test_arrays_survive_the_way_through_simpleitk():
    volume, affine = head((10, 12, 14))
    image = to_image(volume, affine)
    assert np.array_equal(to_array(image), volume)
    left_posterior = image.TransformIndexToPhysicalPoint([3, 4, 5])
    world = affine @ [3, 4, 5, 1]
    # float32 headers: a few thousandths of a millimetre
    assert np.allclose(left_posterior, [-world[0], -world[1], world[2]], atol=0.05)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR"])
def test_any_orientation_is_read_as_ras(tmp_path, axes):
    volume, affine = head((20, 24, 28))
    turned = nib.Nifti1Image(volume, affine).as_reoriented(
        nib.orientations.ornt_transform(
            nib.io_orientation(affine), nib.orientations.axcodes2ornt(axes)
        )
    )
    nib.save(turned, tmp_path / "v.nii.gz")
    found, found_affine = canonical_volume(tmp_path / "v.nii.gz")
    assert np.allclose(found, volume)
    assert np.allclose(found_affine, affine, atol=1e-4)


def test_small_labels_keep_their_volume_and_thin_classes_are_not_made_up():
    fine = np.zeros((60, 60, 60), np.uint8)
    fine[20:32, 20:32, 20:32] = 3
    fine[23:29, 23:29, 23:29] = 1
    affine = np.eye(4)
    target = to_image(np.zeros((20, 20, 20)), np.diag([3.0, 3.0, 3.0, 1.0]))
    found = resample_label(fine, affine, target, sitk.Transform())
    assert (found > 0).sum() * 27 == pytest.approx(12**3, rel=0.25)
    assert set(np.unique(found)) == {0, 1, 3}


def test_a_label_smaller_than_a_voxel_does_not_vanish():
    fine = np.zeros((40, 40, 40), np.uint8)
    fine[18:22, 19:21, 10:30] = 2  # 160 mm³ that fill half of no voxel of 6 mm
    target = to_image(np.zeros((7, 7, 7)), np.diag([6.0, 6.0, 6.0, 1.0]))
    found = resample_label(fine, np.eye(4), target, sitk.Transform())
    assert found.any()
    assert set(np.unique(found)) == {0, 2}


def test_native_axes_may_come_in_any_order():
    """Thick slices stored along the first axis, or along the last: the same labels."""
    rng = np.random.default_rng(0)
    label = np.zeros((40, 40, 40), np.uint8)
    label[8:32, 10:30, 9:31] = ndimage.gaussian_filter(rng.normal(size=(24, 20, 22)), 2) > 0.02
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    last = np.diag([2.0, 2.0, 8.0, 1.0])
    first = last[:, [2, 0, 1, 3]]
    stored_last = to_image(np.zeros((40, 40, 10)), last)
    stored_first = to_image(np.zeros((10, 40, 40)), first)
    wanted = resample_label(label, affine, stored_last, sitk.Transform())
    found = resample_label(label, affine, stored_first, sitk.Transform())
    assert wanted.any()
    assert np.array_equal(found.transpose(1, 2, 0), wanted)


def test_cropping_changes_no_label():
    """A label at the edge of the volume is resampled as it stands."""
    label = np.zeros((30, 30, 30), np.uint8)
    label[:9, 10:20, 10:20] = 1
    target = to_image(np.zeros(label.shape), np.eye(4))
    assert np.array_equal(resample_label(label, np.eye(4), target, sitk.Transform()), label)


def test_a_label_follows_the_modality_that_it_was_drawn_on():
    near, far = np.eye(4), np.diag([1.0, 1.0, 5.0, 1.0])
    grids = {"t1ce": ((20, 20, 20), near), "flair": ((20, 20, 4), far)}
    assert label_frame((20, 20, 20), near, grids, "label") == "t1ce"
    assert label_frame((20, 20, 4), far, grids, "label") == "flair"
    assert label_frame((9, 9, 9), near, grids, "label") == "t1ce"


def test_sheared_axes_are_refused(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.3
    save_nifti(np.arange(64.0, dtype=np.float32).reshape(4, 4, 4), affine, tmp_path / "s.nii.gz")
    with pytest.raises(UserError, match="sheared"):
        canonical_volume(tmp_path / "s.nii.gz")


def test_downsampling_does_not_alias():
    """Stripes finer than the grid become grey, not other stripes."""
    volume = np.tile(np.array([0.0, 100.0], np.float32), 30)[:, None, None] * np.ones((1, 60, 60))
    target = to_image(np.zeros((18, 18, 18)), np.diag([3.1, 3.1, 3.1, 1.0]))
    source = to_image(volume.astype(np.float32), np.eye(4))
    found = resample_image(source, target, sitk.Transform())
    assert found[3:-3].std() < 5


def test_normalisation_is_not_led_by_a_bright_voxel():
    volume = np.random.default_rng(0).normal(100, 10, (20, 20, 20)).astype(np.float32)
    brain = np.zeros(volume.shape, bool)
    brain[4:16, 4:16, 4:16] = True
    plain = normalise(volume, brain, (0.5, 99.5))
    volume[8, 8, 8] = 1e5
    assert np.abs(normalise(volume, brain, (0.5, 99.5)) - plain)[brain].mean() < 0.01
    assert plain[~brain].max() == 0
    assert plain.max() == 1


@pytest.mark.parametrize("background", [0.0, -1.3])
def test_a_stripped_volume_is_told_from_a_head(background):
    volume, affine = head()
    stripped = np.where(volume > 0, volume, background)
    mask = stripped_mask(stripped, affine)
    assert mask is not None
    assert dice(mask, volume > 0) > 0.99
    noise = np.random.default_rng(0).normal(0, 1, volume.shape)
    assert stripped_mask(volume + noise, affine) is None
    assert stripped_mask(volume, np.diag([4.0, 4.0, 4.0, 1.0])) is None
    assert stripped_mask(stripped[:, :, 30:60], affine) is None  # a slab through the middle


def test_what_cannot_be_a_brain_is_refused():
    with pytest.raises(UserError, match=r"gave a brain of 0\.00 L"):
        check_brain(np.zeros((4, 4, 4), bool), np.eye(4), "deepbet")


def test_a_command_gives_the_mask(tmp_path, monkeypatch):
    """A stand-in for SynthStrip that returns its input as the mask."""
    tool = tmp_path / "mri_synthstrip"
    tool.write_text('#!/bin/sh\ncp "$2" "$4"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    volume = np.zeros((4, 5, 6), np.float32)
    volume[1:3] = 1
    assert np.array_equal(command_mask("synthstrip", volume, np.eye(4)), volume > 0)
    tool.write_text("#!/bin/sh\necho no licence >&2\nexit 3\n")
    with pytest.raises(UserError, match="failed: no licence"):
        command_mask("synthstrip", volume, np.eye(4))


def test_a_missing_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # wherever FreeSurfer is installed
    with pytest.raises(UserError, match="needs the command 'mri_synthstrip'"):
        command_mask("synthstrip", np.zeros((4, 4, 4)), np.eye(4))


def test_the_reference_must_be_a_modality():
    assert choose_reference(["flair", "t1ce"], "auto") == "t1ce"
    assert choose_reference(["flair", "t2"], "auto") == "flair"
    with pytest.raises(UserError, match="'t1' is none of the modalities"):
        choose_reference(["flair"], "t1")


def with_a_name(source, target):
    """A NIfTI file with a person's name in each text field of its header, and in an extension."""
    image = nib.load(source)
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = PERSON
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", PERSON.encode()))
    nib.save(image, target)
    assert gzip.decompress(target.read_bytes()).count(PERSON.encode()) == 5


@pytest.fixture(scope="module")
def done(phantom_folder, tmp_path_factory):
    """The phantom, preprocessed, from files that hold a name."""
    row, raw = {"label_scheme": "brats2023"}, tmp_path_factory.mktemp("raw")
    for name in ("flair", "t1ce", "label"):
        with_a_name(phantom_folder / f"{name}.nii.gz", raw / f"{name}.nii.gz")
        row[name] = str(raw / f"{name}.nii.gz")
    return preprocess("one", row, ["flair", "t1ce"], tmp_path_factory.mktemp("done")), row


def test_the_brain_of_a_phantom_is_found(phantom_folder):
    volume, affine = canonical_volume(phantom_folder / "t1ce.nii.gz")
    truth, _ = canonical_volume(phantom_folder / "brain_mask.nii.gz")
    assert dice(deepbet_mask(volume, affine), truth > 0) >= 0.96


def test_modalities_of_a_phantom_are_aligned_at_its_tumour(done, phantom_folder):
    place, _ = done
    truth = json.loads((phantom_folder / "truth.json").read_text())
    label = nib.load(phantom_folder / "label.nii.gz")
    middle = np.argwhere(np.asarray(label.dataobj) > 0).mean(0)
    point = label.affine @ [*middle, 1]
    found = sitk.ReadTransform(str(place / "flair_to_reference.tfm"))
    x, y, z = found.TransformPoint((-point[0], -point[1], point[2]))
    back = np.array(truth["to_reference"]["flair"]) @ [-x, -y, z, 1]
    assert np.linalg.norm(back[:3] - point[:3]) <= 1.0


def test_the_affine_survives_to_the_last_file(done):
    place, _ = done
    grid = Grid.from_settings(COARSE)
    for name in ("flair", "t1ce", "label", "brain"):
        image = nib.load(place / f"{name}.nii.gz")
        assert np.allclose(image.affine, grid.affine)
        assert image.shape == grid.shape
    patient = Patient(place)
    assert np.allclose(patient.image()[0], nib.load(place / "flair.nii.gz").get_fdata(), atol=1e-3)
    assert (patient.label() == np.asarray(nib.load(place / "label.nii.gz").dataobj)).all()
    row = read_table(place / "attributes.tsv").iloc[0]
    assert row["volume_ml"] == pytest.approx((patient.label() > 0).sum() * grid.voxel_ml)


def test_labels_map_back_to_the_native_image(done):
    place, row = done
    label = nib.load(place / "label.nii.gz")
    back, affine = to_native(
        np.asarray(label.dataobj), label.affine, place / "native.json", place / "to_template.tfm"
    )
    raw = nib.load(row["label"])
    assert back.shape == raw.shape
    assert np.allclose(affine, raw.affine)
    assert dice(back > 0, np.asarray(raw.dataobj) > 0) > 0.85


def test_a_label_on_the_reference_s_voxels_stays_as_drawn(done, tmp_path):
    place, row = done
    assert read_json(place / "native.json")["label_frame"] == "t1ce"
    label, affine = canonical_volume(row["label"])
    turned = tmp_path / "turned.nii.gz"
    save_nifti(label[::-1, :, ::-1], affine @ _flip(label.shape, (0, 2)), turned, np.uint8)
    for file in (row["label"], str(turned)):
        assert (drawn_label(file, "brats2023", place, label.shape, affine) == label).all()


def _flip(shape, axes):
    """The matrix that takes a flipped array's voxels to the array's."""
    matrix = np.eye(4)
    for axis in axes:
        matrix[axis, axis], matrix[axis, 3] = -1, shape[axis] - 1
    return matrix


def test_a_label_drawn_on_another_modality_is_carried_to_the_reference(tmp_path):
    """FLAIR has voxels of 2 mm, and lies 6 mm further to the right than the reference."""
    coarse, fine = np.diag([2.0, 2, 2, 1]), np.eye(4)
    label = np.zeros((20, 20, 20), np.uint8)
    label[4:10, 6:12, 8:14] = 4
    save_nifti(label, coarse, tmp_path / "label.nii.gz")
    write_json({"label_frame": "flair"}, tmp_path / "native.json")
    # SimpleITK counts to the left.
    move = sitk.TranslationTransform(3, (-6.0, 0.0, 0.0))
    sitk.WriteTransform(move, str(tmp_path / "flair_to_reference.tfm"))
    found = drawn_label(str(tmp_path / "label.nii.gz"), "brats2017", tmp_path, (40, 40, 40), fine)
    expected = np.zeros(found.shape, bool)
    # Centres of voxels from 8 to 18 mm along x, which reach 1 mm further on both sides.
    expected[7 - 6 : 20 - 6, 11:24, 15:28] = True
    assert set(np.unique(found)) == {0, 3}
    assert dice(found > 0, expected) > 0.95
    assert np.abs(np.argwhere(found).mean(0) - np.argwhere(expected).mean(0)).max() < 0.5


def test_the_same_patient_gives_the_same_bytes(done, tmp_path):
    place, row = done
    again = preprocess("one", row, ["flair", "t1ce"], tmp_path)
    for file in sorted(place.iterdir()):
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name


def test_names_in_headers_reach_no_output(done, tmp_path):
    """Nor the label map that is carried back to the patient's own voxels."""
    place, row = done
    label = nib.load(place / "label.nii.gz")
    transform = place / "to_template.tfm"
    back = to_native(np.asarray(label.dataobj), label.affine, place / "native.json", transform)
    save_nifti(*back, tmp_path / "native.nii.gz", np.uint8)
    files = [*place.iterdir(), tmp_path / "native.nii.gz"]
    assert len(files) > 10
    for file in files:
        content = file.read_bytes()
        content = gzip.decompress(content) if file.suffix == ".gz" else content
        assert PERSON.encode() not in content, file.name


def test_bad_input_is_named(done, tmp_path):
    _, row = done
    with pytest.raises(UserError, match=r"no-such\.nii\.gz: does not exist"):
        preprocess("bad", {**row, "flair": "no-such.nii.gz"}, ["flair", "t1ce"], tmp_path)
    label = nib.load(row["label"])
    empty = tmp_path / "empty.nii.gz"
    save_nifti(np.zeros(label.shape, np.uint8), label.affine, empty)
    with pytest.raises(UserError, match="the label map has no tumour"):
        preprocess("bad", {**row, "label": str(empty)}, ["t1ce"], tmp_path, skull_strip="none")
    assert not list(tmp_path.glob("bad/*.npy"))


def test_brats2023_patient(real_data, tmp_path):
    stem = real_data / "brats2023" / "BraTS-GLI-00000-000" / "BraTS-GLI-00000-000"
    row = {"flair": f"{stem}-t2f.nii.gz", "t1ce": f"{stem}-t1c.nii.gz"}
    row |= {"label": f"{stem}-seg.nii.gz", "label_scheme": "brats2023"}
    place = preprocess("real", row, ["flair", "t1ce"], tmp_path)
    raw = nib.load(row["label"])
    patient = Patient(place)
    before = (np.asarray(raw.dataobj) > 0).sum() / 1000
    grown = np.abs(np.linalg.det(_matrix(place / "to_template.tfm")))
    after = (patient.label() > 0).sum() * Grid.from_settings(COARSE).voxel_ml
    assert after == pytest.approx(before / grown, rel=0.1)
    assert not (patient.label()[~patient.brain()] > 0).any()
    identity = sitk.ReadTransform(str(place / "flair_to_reference.tfm"))
    assert np.allclose(identity.TransformPoint((1.0, 2.0, 3.0)), (1, 2, 3))


def _matrix(path):
    transform = sitk.AffineTransform(sitk.ReadTransform(str(path)))
    return np.array(transform.GetMatrix()).reshape(3, 3)


def test_raw_clinical_patient_is_skull_stripped(real_data):
    folder = real_data / "wholehead" / "TCGA-FG-6692"
    volume, affine = canonical_volume(folder / "TCGA-FG-6692_t1ce.nii.gz")
    reference, _ = canonical_volume(folder / "hdbet_mask_t1ce.nii.gz")
    assert stripped_mask(volume, affine) is None
    assert dice(deepbet_mask(volume, affine), reference > 0) >= 0.95


@pytest.mark.parametrize("number", [1, 3, 6])
def test_brats2015_background_is_seen(real_data, number):
    folder = real_data / "brats2015" / f"brats_2013_pat000{number}_1"
    volume, affine = canonical_volume(folder / "T1c_subtrMeanDivStd.nii.gz")
    given, _ = canonical_volume(folder / "brainmask.nii.gz")
    assert dice(stripped_mask(volume, affine), given > 0) > 0.97


def test_nothing_is_resampled_when_the_grid_is_the_same():
    volume, _ = head((24, 24, 24))
    grid = Grid((24, 24, 24), (2.0, 2.0, 2.0))
    found = resample_image(to_image(volume, grid.affine), grid_image(grid), sitk.Transform())
    assert np.allclose(found, volume, atol=0.05)


def test_a_transform_that_a_full_disk_cuts_is_noticed(tmp_path, monkeypatch):
    """SimpleITK itself says nothing."""
    monkeypatch.setattr(sitk, "WriteTransform", lambda transform, path: Path(path).touch())
    with pytest.raises(OSError, match="No space left on device"):
        save_transform(sitk.Euler3DTransform(), tmp_path / "a.tfm")
    assert not (tmp_path / "a.tfm").exists()
