"""Volumes that cannot be used are named with what is wrong; odd but valid ones are read right."""

import gzip
import struct
import zlib
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tests.hostile.conftest import AFFINE, MODALITIES, SHAPE, TUMOUR_ML, image_of, label_of
from workflow_scripts.common.files import UserError
from workflow_scripts.common.nifti import load_volume, read_header
from workflow_scripts.preprocess.volumes import to_image

FIELDS = nib.nifti1.header_dtype.fields
# What spoils an image spoils a label.
KINDS = ("flair", "label")


def content(kind: str) -> np.ndarray:
    return label_of() if kind == "label" else image_of(7)


def nifti(array: np.ndarray, affine=AFFINE, sform=2, qform=0) -> nib.Nifti1Image:
    """An image whose header has sform and qform of an affine, with these codes."""
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, qform)
    image.set_sform(affine, sform)
    return image


def edited(array: np.ndarray, codes=(2, 0), **fields) -> bytes:
    """The bytes of a file some fields of whose header are others: a value, or (index, value)."""
    image = nifti(array, sform=codes[0], qform=codes[1])
    raw = bytearray(image.to_bytes())
    for name, value in fields.items():
        dtype, offset = FIELDS[name][:2]
        index, value = value if isinstance(value, tuple) else (0, value)
        base = dtype.base
        at = offset + index * base.itemsize
        raw[at : at + base.itemsize] = np.array(value, base).tobytes()
    return bytes(raw)


def header(codes=(2, 0), **fields):
    """Spoil a file's header."""

    def spoil(cohort, kind):
        cohort.file(kind).write_bytes(gzip.compress(edited(content(kind), codes, **fields)))

    return spoil


def values(change):
    """Spoil a file's values."""

    def spoil(cohort, kind):
        cohort.replace(kind, nifti(change(content(kind))))

    return spoil


def written(change):
    """Spoil the bytes of a file."""

    def spoil(cohort, kind):
        file = cohort.file(kind)
        file.write_bytes(change(file.read_bytes()))

    return spoil


def two_forms(sform, qform):
    """A header whose sform and qform, both coded, are two affines."""

    def spoil(cohort, kind):
        image = nifti(content(kind))
        image.set_qform(qform, 1)
        image.set_sform(sform, 2)
        cohort.replace(kind, image)

    return spoil


def analyze(cohort, kind):
    image = nib.AnalyzeImage(content(kind).astype(np.int16), np.diag([1, 1, 2, 1]))
    cohort.replace(kind, image, f"{kind}.img")


def folder(cohort, kind):
    cohort.file(kind).unlink()
    cohort.file(kind).mkdir()


def colours(cohort, kind):
    rgb = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    cohort.replace(kind, nib.Nifti1Image(rgb, AFFINE))


def plain_named_gz(cohort, kind):
    cohort.file(kind).write_bytes(nifti(content(kind)).to_bytes())


def sheared():
    affine = AFFINE.copy()
    affine[0, 1] = 0.4
    return affine


def moved(mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += mm
    return affine


def scaled_affine(factor: float):
    """An image whose header counts in another unit."""
    return lambda c, k: c.replace(k, nifti(content(k), np.diag([factor] * 3 + [1]) @ AFFINE))


MIRRORED = np.diag([-1.0, 1, 1, 1]) @ AFFINE
BAD = {
    "neither sform nor qform": (header((0, 0)), "neither sform nor qform"),
    "mirrored by its qform": (two_forms(AFFINE, MIRRORED), "sform and qform .* disagree"),
    "shifted by its qform": (two_forms(AFFINE, moved(20)), "disagree.*20.0 mm apart"),
    "qform without voxel size": (header((0, 1), pixdim=(2, 0.0)), "voxels of 1, 0, 2 mm"),
    "qform, both coded, without voxel size": (header((2, 1), pixdim=(2, 0.0)), "disagree"),
    "qform that is no rotation": (
        header((0, 1), quatern_b=2.0),
        "w2 should be positive|qform of its header",
    ),
    "qform, both coded, that is no rotation": (header((2, 1), quatern_b=2.0), "qform is invalid"),
    "qform of NaN voxels": (header((0, 1), pixdim=(3, np.nan)), "voxels of 1, 1, nan mm"),
    "qform of negative voxels": (header((0, 1), pixdim=(1, -1.0)), "voxels of -1, 1, 2 mm"),
    "Analyze": (analyze, "Analyze"),
    "NaN in the affine": (header(srow_x=(0, np.nan)), "no voxel size"),
    "infinite affine": (header(srow_y=(3, np.inf)), "no voxel size"),
    "zero column in the affine": (header(srow_x=(0, 0.0)), "no voxel size"),
    "voxels in metres": (scaled_affine(0.002), "voxels of 0.002 × 0.002 × 0.004 mm"),
    "voxels in micrometres": (scaled_affine(1000), "voxels of 1000 × 1000 × 2000 mm"),
    "sheared": (lambda c, k: c.replace(k, nifti(content(k), sheared())), "sheared"),
    "unknown datatype": (header(datatype=9999), "cannot be read"),
    "offset of the values infinite": (header(vox_offset=np.inf), "cannot be read"),
    "offset of the values beyond the end": (header(vox_offset=1e6), "cannot be read"),
    "nine dimensions": (header(dim=(0, 9)), "cannot be read|dimensions"),
    "two dimensions": (header(dim=(0, 2)), "2 dimensions"),
    "no dimension": (header(dim=(0, 0)), "cannot be read|dimensions"),
    "a side of no voxels": (header(dim=(1, 0)), "voxels|cannot be read"),
    "a side of fewer than no voxels": (header(dim=(1, -5)), "voxels|cannot be read"),
    "larger than memory": (lambda c, k: huge(c, k), "32767 × 32767 × 32767 voxels"),
    "larger than its file": (header(dim=(1, 20000)), "20000 × 10 × 8 voxels, more than the file"),
    "offset of intensities NaN": (header(scl_slope=1.0, scl_inter=np.nan), "read|finite|integers"),
    "complex": (values(lambda a: a + 1j * a), "complex"),
    "colours": (colours, "colours"),
    "NaN": (values(lambda a: np.where(a > 0, np.nan, a.astype(float))), "finite|integers"),
    "infinite": (values(lambda a: np.where(a > 0, np.inf, 0.0)), "finite|integers"),
    "three volumes": (values(lambda a: np.stack([a] * 3, -1)), "4 dimensions"),
    "one slice": (values(lambda a: a[:, :, 3]), "2 dimensions"),
    "empty file": (written(lambda b: b""), "cannot be read"),
    "text": (written(lambda b: b"no image"), "cannot be read"),
    "cut short": (written(lambda b: b[: len(b) // 2]), "cannot be read"),
    "rotten": (written(lambda b: b[:40] + b"\xff" * 20 + b[60:]), "cannot be read"),
    "not compressed, called .gz": (plain_named_gz, "cannot be read"),
    "a folder": (folder, "is a folder"),
    "missing": (lambda c, k: c.file(k).unlink(), "does not exist"),
}


def meta_image(change):
    """A MetaImage whose bytes are spoilt."""

    def spoil(cohort, kind):
        by_itk(".mha")(cohort, kind)
        file = cohort.file(kind)
        file.write_bytes(change(file.read_bytes()))

    return spoil


def undirected(content: bytes) -> bytes:
    lines = content.split(b"\n")
    words = (b"TransformMatrix", b"AnatomicalOrientation")
    return b"\n".join(line for line in lines if not line.startswith(words))


def vectors(cohort, kind):
    cohort.odd[kind] = f"odd/{kind}.mha"
    image = sitk.Image([12, 10, 8], sitk.sitkVectorUInt8, 3)
    sitk.WriteImage(image, str(cohort.file(kind)))


def four_dimensions(cohort, kind):
    cohort.odd[kind] = f"odd/{kind}.mha"
    sitk.WriteImage(sitk.Image([12, 10, 8, 1], sitk.sitkInt16), str(cohort.file(kind)))


def mgh(known: int, at: int = 0, number: int = 1):
    """A FreeSurfer file whose header says that it knows its axes, or does not, and which has
    another number somewhere."""

    def spoil(cohort, kind):
        image = nib.MGHImage(content(kind).astype(np.int32), AFFINE)
        raw = bytearray(image.to_bytes())
        raw[28:30] = struct.pack(">h", known)
        raw[at : at + 4] = struct.pack(">i", number)
        cohort.odd[kind] = f"odd/{kind}.mgh"
        cohort.file(kind).write_bytes(raw)

    return spoil


def rename(cohort, kind, suffix):
    file = cohort.file(kind)
    cohort.odd[kind] = f"odd/{kind}{suffix}"
    file.rename(cohort.file(kind))


BAD |= {
    "MetaImage without axes": (meta_image(undirected), "does not say where left and right"),
    "MetaImage, cut short": (meta_image(lambda b: b[:-300]), "cannot be read"),
    "MetaImage of nothing": (meta_image(lambda b: b""), "cannot be read"),
    "MetaImage of four dimensions": (four_dimensions, "has 4 dimensions; name a volume of 3"),
    "FreeSurfer's without axes": (mgh(0), "does not say where left and right"),
    "FreeSurfer's of an unknown type": (mgh(1, 20, 99), "cannot be read"),
    "FreeSurfer's without voxels": (mgh(1, 4, 0), "cannot be read"),
    "MINC": (lambda c, k: rename(c, k, ".mnc"), "is of no format that is read"),
    "MetaImage of vectors": (vectors, "colours or vectors"),
}


def huge(cohort, kind):
    raw = bytearray(edited(content(kind)))
    struct.pack_into("<3h", raw, FIELDS["dim"][1] + 2, 32767, 32767, 32767)
    cohort.file(kind).write_bytes(gzip.compress(bytes(raw)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", BAD)
def test_a_volume_that_cannot_be_used_is_named(cohort, case, kind):
    spoil, words = BAD[case]
    spoil(cohort, kind)
    with pytest.raises(UserError, match=rf"1 of 2 patients(.|\n)*odd: .*{kind}.*({words})"):
        cohort.inspect()


def test_one_modality_under_two_names_is_named(cohort):
    cohort.replace("flair", nifti(image_of(3)))
    with pytest.raises(UserError, match=r"odd: .*t1ce.nii.gz: holds the same values as .*flair"):
        cohort.inspect()


BAD_IMAGES = {
    "constant": (values(lambda a: np.full_like(a, 5)), "is constant"),
    "zero but for a voxel": (values(lambda a: (a == a.max()).astype(np.int16)), "but for a few"),
    "the other patient's": (lambda c, k: c.replace(k, nifti(image_of(0))), "same person"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_an_image_that_is_none_is_named(cohort, case):
    spoil, words = BAD_IMAGES[case]
    spoil(cohort, "flair")
    with pytest.raises(UserError, match=rf"1 of 2 patients(.|\n)*odd: .*flair.*{words}"):
        cohort.inspect()


def turned(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    middle = np.eye(4)
    middle[:3, 3] = (AFFINE @ [*(np.array(SHAPE) - 1) / 2, 1])[:3]
    return middle @ rotation @ np.linalg.inv(middle) @ AFFINE


def label_at(affine):
    return lambda c: c.replace("label", nifti(label_of(), affine))


def label_with(change):
    return lambda c: c.replace("label", nifti(change(label_of())))


BAD_LABELS = {
    "no tumour": (label_with(np.zeros_like), "has no tumour"),
    "halves": (label_with(lambda a: a / 2), "no integers"),
    "negative": (label_with(lambda a: -a.astype(np.int16)), "-1 to 0, no labels"),
    "an image": (label_with(lambda a: image_of(9)), "no labels"),
    "another scheme's": (label_with(lambda a: 7 * a), r"\[7.0\] do not belong"),
    "shifted": (label_at(moved(5)), "middles are 5.0 mm apart"),
    "turned": (label_at(turned(20)), "and it is turned"),
    "of other voxels": (label_at(AFFINE @ np.diag([1, 1, 1.5, 1])), "1 × 1 × 3 mm, those"),
    "of another shape": (label_with(lambda a: a[:-1]), "11 × 10 × 8 voxels, that has 12 × 10 × 8"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_a_label_that_cannot_be_right_is_named(cohort, case):
    spoil, words = BAD_LABELS[case]
    spoil(cohort)
    with pytest.raises(UserError, match=rf"1 of 2 patients(.|\n)*odd: .*label.*{words}"):
        cohort.inspect()


def reoriented(codes: str):
    """The same patient, its axes stored in another order."""

    def change(cohort, kind):
        target = nib.orientations.axcodes2ornt(codes)
        image = nifti(content(kind))
        order = nib.orientations.ornt_transform(nib.io_orientation(image.affine), target)
        cohort.replace(kind, image.as_reoriented(order))

    return change


def big_endian(cohort, kind):
    head = nib.Nifti1Header(endianness=">")
    cohort.replace(kind, nib.Nifti1Image(content(kind), AFFINE, head))


def scaled(cohort, kind):
    image = nifti(content(kind))
    image.header.set_slope_inter(1.0, 0.0)
    cohort.replace(kind, image)


def as_type(dtype):
    return lambda c, k: c.replace(k, nifti(content(k).astype(dtype)))


def forms(sform, qform):
    return lambda c, k: c.replace(k, nifti(content(k), sform=sform, qform=qform))


def by_itk(suffix):
    """The same patient as SimpleITK writes it."""

    def change(cohort, kind):
        cohort.odd[kind] = f"odd/{kind}{suffix}"
        sitk.WriteImage(to_image(content(kind), AFFINE), str(cohort.file(kind)))

    return change


VALID = {
    "MetaImage": by_itk(".mha"),
    "MetaImage, header apart": by_itk(".mhd"),
    "NRRD": by_itk(".nrrd"),
    "FreeSurfer": lambda c, k: c.replace(
        k, nib.MGHImage(content(k).astype(np.int32), AFFINE), f"{k}.mgz"
    ),
    **{f"axes {codes}": reoriented(codes) for codes in ("RAS", "LPS", "LAS", "RSA", "SPL", "AIR")},
    "sform alone": forms(1, 0),
    "qform alone": forms(0, 1),
    "sform and qform": forms(2, 1),
    "sform of a template": forms(4, 0),
    "sform and qform, nearly the same": two_forms(AFFINE, moved(0.4)),
    "sform alone, voxel size of 0": header((2, 0), pixdim=(2, 0.0)),
    "big-endian": big_endian,
    "scaled": scaled,
    "int32": as_type(np.int32),
    "float32": as_type(np.float32),
    "float64": as_type(np.float64),
    "qfac of 0": header((0, 1), pixdim=(0, 0.0)),
    "FreeSurfer, not compressed": mgh(1),
    "NIfTI-2": lambda c, k: c.replace(k, nib.Nifti2Image(content(k), AFFINE)),
    "not compressed": lambda c, k: c.replace(k, nifti(content(k)), f"{k}.nii"),
    "header apart": lambda c, k: c.replace(k, nib.Nifti1Pair(content(k), AFFINE), f"{k}.img"),
    "one volume of 4-D": lambda c, k: c.replace(k, nifti(content(k)[..., None])),
    "a name with spaces": lambda c, k: c.replace(k, nifti(content(k)), f"my {k} (1).nii.gz"),
    "a name with accents": lambda c, k: c.replace(k, nifti(content(k)), f"é ü {k}.nii.gz"),
    "a name with a number sign": lambda c, k: c.replace(k, nifti(content(k)), f"#2 {k}.nii.gz"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", VALID)
def test_an_odd_but_valid_volume_is_read_right(cohort, case, kind):
    VALID[case](cohort, kind)
    table = cohort.inspect()
    assert table["volume_ml"].tolist() == pytest.approx([TUMOUR_ML] * 2)
    # The tumour's voxels, or an image's brightest one, lie where they did.
    array, affine = load_volume(table.loc[1, kind])
    right = content(kind)

    def where(values, affine):
        chosen = np.argwhere(values == values.max())
        return np.sort((np.c_[chosen, np.ones(len(chosen))] @ affine.T)[:, :3], axis=0)

    np.testing.assert_allclose(where(array, affine), where(right, AFFINE), atol=0.01)


STATED = {
    "sform": (two_forms(AFFINE, MIRRORED), AFFINE),
    "qform": (two_forms(MIRRORED, AFFINE), AFFINE),
    "as_stored": (header((0, 0)), np.diag([1.0, 1, 2, 1])),
}


@pytest.mark.parametrize("geometry", STATED)
def test_an_ambiguous_geometry_is_read_as_it_is_said(cohort, geometry):
    spoil, affine = STATED[geometry]
    for kind in (*MODALITIES, "label"):
        spoil(cohort, kind)
    cohort.replace("t1ce", nib.load(cohort.file("flair")).__class__(
        image_of(8), None, nib.load(cohort.file("flair")).header))  # fmt: skip
    table = cohort.inspect(geometry=geometry)
    assert table["volume_ml"].tolist() == pytest.approx([TUMOUR_ML] * 2)
    found = load_volume(table.loc[1, "flair"], geometry)[1]
    np.testing.assert_allclose(found[:3, :3], affine[:3, :3], atol=1e-5)


def test_a_word_that_does_not_help_is_refused(cohort):
    header((0, 0))(cohort, "flair")
    with pytest.raises(UserError, match="cohort.geometry: as_stored"):
        cohort.inspect(geometry="sform")


def test_a_file_is_not_blamed_for_too_little_memory(cohort, monkeypatch):
    def short() -> None:
        raise zlib.error("Error -4 while decompressing data")

    path = cohort.file("flair")
    header = replace(read_header(path), values=short)
    monkeypatch.setattr("workflow_scripts.common.nifti.read_header", lambda *_: header)
    with pytest.raises(zlib.error):
        load_volume(path)
