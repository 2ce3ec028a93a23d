"""Files that Hypothesis makes up: each is read right or named in words, within seconds.

The short form is part of ``make test``, the long one of ``make test-hostile``. Both draw the same
files each time.
"""

import copy
import gzip
import math
import signal
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.conftest import AFFINE, MODALITIES, image_of
from workflow_scripts.cohort.inspection import SAFE_ID, inspect_cases
from workflow_scripts.cohort.table import table_cases
from workflow_scripts.common.files import UserError, read_table
from workflow_scripts.common.geometry import same_grid
from workflow_scripts.common.nifti import AGREEMENT_MM, load_volume
from workflow_scripts.common.strict_yaml import read_yaml
from workflow_scripts.configuration import Config, check
from workflow_scripts.preprocess.volumes import to_image
from workflow_scripts.synthesis.request_table import REQUIRED, check_own_requests
from workflow_scripts.synthesis.settings import SamplingSettings, read_sampling

ROOT = Path(__file__).resolve().parents[2]
# Of the processor's time, whatever else the machine does.
LONGEST_S = 10


def lengths(short: int, long: int) -> pytest.MarkDecorator:
    """How many files are made up: few in ``make test``, many in ``make test-hostile``."""
    many = pytest.param(long, id="long", marks=pytest.mark.hostile)
    return pytest.mark.parametrize("count", [pytest.param(short, id="short"), many])


def too_long(*_) -> None:
    raise TimeoutError(f"nothing came of a file in {LONGEST_S} s")


def try_files(
    count: int, strategy: st.SearchStrategy, look: Callable, source: str | Path = ""
) -> None:
    """Call ``look`` with that many values, each within ``LONGEST_S``. A ``UserError`` is an answer
    where it names the ``source``."""

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(value):
        signal.signal(signal.SIGPROF, too_long)
        signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
        try:
            look(value)
        except UserError as error:
            assert str(source) in str(error) and len(str(error)) > len(str(source)) + 10
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    each()


# Numbers that headers and tables are known to suffer from.
NUMBERS = st.sampled_from(
    [0, 1, -1, 2, 3, 7, 8, 9, 255, 1e-4, 1e4, 32767, -32768, 1e30, math.nan, math.inf, -math.inf]
)
FIELDS = nib.nifti1.header_dtype.fields
IMAGE = image_of(3)


def nifti(dtype: str) -> bytes:
    """A valid file whose sform and qform agree."""
    image = nib.Nifti1Image(IMAGE.astype(dtype), AFFINE)
    image.set_qform(AFFINE, 1)
    image.set_sform(AFFINE, 1)
    return image.to_bytes()


def by_itk(suffix: str, folder: Path) -> bytes:
    """The same image as SimpleITK writes it."""
    file = folder / f"valid{suffix}"
    sitk.WriteImage(to_image(IMAGE, AFFINE), str(file))
    return file.read_bytes()


@st.composite
def field_changes(draw) -> list[tuple[int, bytes]]:
    """Numbers of a header's fields, as offsets and bytes."""
    changes = []
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4)):
        dtype, offset = FIELDS[name][:2]
        base = dtype.base
        at = offset + draw(st.integers(0, dtype.itemsize // base.itemsize - 1)) * base.itemsize
        if base.kind == "S":
            content = draw(st.binary(min_size=base.itemsize, max_size=base.itemsize))
        elif base.kind == "f":
            content = np.array(draw(NUMBERS), base).tobytes()
        else:
            limits = np.iinfo(base)
            number = draw(st.one_of(st.integers(-1, 20), st.integers(limits.min, limits.max)))
            content = np.array(np.clip(number, limits.min, limits.max), base).tobytes()
        changes.append((at, content))
    return changes


BYTES = st.lists(st.tuples(st.integers(0, 500), st.binary(min_size=1, max_size=6)), max_size=3)
# Of a file that stays as long as it is, nothing is cut.
CUTS = st.one_of(st.none(), st.integers(0, 4000))


def changed(content: bytes, changes: list[tuple[int, bytes]], cut: int | None) -> bytes:
    raw = bytearray(content)
    for at, new in changes:
        raw[at : at + len(new)] = new
    return bytes(raw[:cut])


def read_right(file: Path) -> None:
    """Read a file as the workflow does. What comes of it is a volume on a right-angled grid, which
    a second reading gives again."""
    array, affine = load_volume(file)
    assert array.ndim == 3 and array.size
    assert array.dtype.kind in "biuf"
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    assert np.isfinite(affine).all() and spacing.min() > 0
    axes = affine[:3, :3] / spacing
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=0.03)
    again, same = load_volume(file)
    np.testing.assert_array_equal(array, again)
    assert same_grid(array.shape, affine, again.shape, same)


@lengths(80, 6000)
def test_any_nifti_header_is_read_right_or_named(tmp_path, count):
    contents = {dtype: nifti(dtype) for dtype in ("int16", "float32", "uint8")}

    def look(drawn):
        dtype, packed, changes, loose, cut = drawn
        content = changed(contents[dtype], changes + loose, cut)
        file = tmp_path / ("x.nii.gz" if packed else "x.nii")
        file.write_bytes(gzip.compress(content, 1, mtime=0) if packed else content)
        read_right(file)
        # What leaves no doubt is the same for nibabel, which takes the sform, then the qform.
        image, (array, affine) = nib.load(file), load_volume(file)
        if image.header["sform_code"] or image.header["qform_code"]:  # it forgets unknown codes
            assert same_grid(array.shape, affine, array.shape, image.affine, AGREEMENT_MM)
        np.testing.assert_array_equal(array, np.asarray(image.dataobj).reshape(array.shape))

    kinds = st.sampled_from(sorted(contents))
    try_files(
        count,
        st.tuples(kinds, st.booleans(), field_changes(), BYTES, CUTS),
        look,
        tmp_path / "x.nii",
    )


@lengths(40, 4000)
def test_any_other_header_is_read_right_or_named(tmp_path, count):
    contents = {suffix: by_itk(suffix, tmp_path) for suffix in (".mha", ".nrrd")}
    contents[".mgh"] = nib.MGHImage(IMAGE.astype(np.int32), AFFINE).to_bytes()
    analyze = nib.AnalyzeImage(IMAGE, np.diag([1, 1, 2, 1]))
    analyze.to_filename(tmp_path / "x.img")
    contents[".hdr"] = (tmp_path / "x.hdr").read_bytes()

    def look(drawn):
        suffix, changes, cut = drawn
        file = tmp_path / f"x{suffix}"
        file.write_bytes(changed(contents[suffix], changes, cut))
        read_right(file)

    try_files(
        count, st.tuples(st.sampled_from(sorted(contents)), BYTES, CUTS), look, tmp_path / "x."
    )


CELLS = st.one_of(
    st.sampled_from(
        ["", " ", "NA", "null", "007", "good", "odd", "odd/flair.nii.gz", "good/label.nii.gz",
         "good/t1ce.nii.gz#0", "..", "/", "~", "~nobody123/x", "{x}", "#", "a\0b",
         '"', "é", "x" * 300, "\r"]
    ),
    st.text(max_size=8),
    NUMBERS.map(str),
)  # fmt: skip
COLUMNS = st.sampled_from(
    ["patient_id", *MODALITIES, "label", "brain_mask", "subject", "Subject", "T1CE", "t2", "", "x"]
)


@st.composite
def tables(draw, rows: list[dict], columns: st.SearchStrategy) -> bytes:
    """A valid table some cells, columns or bytes of which are others."""
    table = [list(rows[0]), *(list(row.values()) for row in rows)]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.integers(0, len(table) - 1))
        column = draw(st.integers(0, len(table[row])))
        cell = draw(columns if row == 0 else CELLS)
        table[row][column : column + draw(st.integers(0, 1))] = [cell]
    text = "\n".join("\t".join(row) for row in table)
    content = bytearray(text.encode(draw(st.sampled_from(["utf-8"] * 6 + ["utf-16"])), "replace"))
    for at, new in draw(
        st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=1)
    ):
        content[at : at + len(new)] = new
    return bytes(content)


@lengths(40, 2000)
def test_any_table_of_patients_is_read_right_or_named(cohort, count):
    table = cohort.root / "any.tsv"

    def look(content):
        table.write_bytes(content)
        cases = table_cases(table, None, "brats2015", MODALITIES)
        patients, problems = inspect_cases(cases, None, "skip")
        names = patients["patient_id"].tolist()
        assert names and len(set(names)) == len(names)
        assert all(SAFE_ID.fullmatch(name) for name in names)
        errors = {problem.patient_id for problem in problems if problem.level == "error"}
        assert not set(names) & errors
        # Whoever is taken has the files of one of the two, and nobody shares any.
        paths = patients[[*MODALITIES, "label"]].to_numpy().ravel().tolist()
        assert len({Path(path).resolve() for path in paths}) == len(paths)

    try_files(count, tables(cohort.rows, COLUMNS), look)


@lengths(40, 1500)
def test_any_table_of_requests_is_read_right_or_named(tmp_path, count):
    rows = [dict(zip(REQUIRED, ("30", "-20", "10", "30"), strict=True)) | {"sphericity": "0.7"}] * 2
    names = st.sampled_from([*REQUIRED, "seed", "patient_id", "anatomy", "core_share", "box_x_mm"])

    def look(content):
        (tmp_path / "requests.tsv").write_bytes(content)
        table = read_table(tmp_path / "requests.tsv")
        check_own_requests(table)
        numbers = table[list(REQUIRED)].astype(float)
        assert np.isfinite(numbers).all().all() and (numbers["volume_ml"] > 0).all()

    try_files(count, tables(rows, names), look)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.integers(), st.text(max_size=6),
              st.sampled_from(["", "~", "null", "a\0b", "/", "y" * 300, "1e5", "yes"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


def keys_of(values: dict, before: tuple = ()) -> list[tuple]:
    """The path of each key of a configuration."""
    keys = []
    for name, value in values.items():
        keys.append((*before, name))
        keys += keys_of(value, (*before, name)) if isinstance(value, dict) else []
    return keys


def with_values(values: dict, changes: list[tuple[tuple, object]]) -> dict:
    """A configuration some values of which are others."""
    values = copy.deepcopy(values)
    for path, value in changes:
        section = values
        for name in path[:-1]:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section[path[-1]] = value
    return values


@lengths(40, 1500)
def test_any_configuration_is_read_right_or_named(monkeypatch, default_values, count):
    monkeypatch.chdir(ROOT)
    keys = st.sampled_from(keys_of(default_values))

    def look(changes):
        values = with_values(default_values, changes)
        config = check(values)
        assert Config.model_validate(config.model_dump(mode="json")) == config

    try_files(
        count, st.lists(st.tuples(keys, VALUES), min_size=1, max_size=3), look, "configuration: "
    )


@lengths(40, 1500)
def test_any_yaml_is_read_right_or_named(tmp_path, count):
    written = VALUES.map(lambda value: yaml.safe_dump({"seed": value}))
    marks = st.text(alphabet="abn:-[]{}&*!|>'\"#%@?, \n\t0159.~", max_size=40)
    text = st.one_of(written.map(str.encode), marks.map(str.encode), st.binary(max_size=40))

    def look(content):
        (tmp_path / "mine.yaml").write_bytes(content)
        values = read_yaml(tmp_path / "mine.yaml")
        assert isinstance(values, dict)
        if values:
            assert str(values) == str(yaml.safe_load(content))

    try_files(count, text, look, tmp_path / "mine.yaml")


@lengths(40, 500)
def test_any_sampling_values_are_read_right_or_named(tmp_path, count):
    good = yaml.safe_load((ROOT / "prior" / "sampling.json").read_text())
    keys = st.sampled_from([(name,) for name in (*good, "other")])

    def look(changes):
        text = yaml.safe_dump(with_values(good, changes), default_flow_style=True, width=10**6)
        (tmp_path / "sampling.json").write_text(text.replace("'", '"'))
        assert isinstance(read_sampling(tmp_path), SamplingSettings)

    try_files(count, st.lists(st.tuples(keys, VALUES), max_size=3), look, tmp_path)
