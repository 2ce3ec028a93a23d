"""The files of one scan, whichever the layout of the data set."""

from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.files import UserError


@dataclass(frozen=True)
class Case:
    """The files of one scan: paths by modality, and those of the label map and the brain mask.

    ``path#k`` is the k-th volume of a 4-D file; "" means no file. ``problems`` says in words what
    the reader of the data set saw to be wrong. Scans with the same ``subject`` are of one person.
    ``origin`` names a case without a ``patient_id``, such as ``line 7`` of a table.
    """

    patient_id: str
    images: dict[str, str]
    label: str
    label_scheme: str
    brain_mask: str = ""
    problems: tuple[str, ...] = ()
    subject: str = ""
    origin: str = ""

    @property
    def scans(self) -> list[str]:
        """Images and label map, which belong to this case alone."""
        return [path for path in (*self.images.values(), self.label) if path]

    @property
    def files(self) -> list[str]:
        """All files of the case. Several cases may share a brain mask."""
        return [*self.scans, *filter(None, [self.brain_mask])]


def cohort_folder(root: str | Path) -> Path:
    """The folder ``root`` of a cohort. Raises ``UserError`` if there is no such folder."""
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"cohort.root: {root} is no folder; name the one that holds the cases")
    return folder
