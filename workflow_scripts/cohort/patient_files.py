"""A patient's files, as a reader of one layout finds them."""

from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.files import UserError


@dataclass(frozen=True)
class Case:
    """The files of one scan; ``path#k`` is the k-th volume of a 4-D file. ``problems`` are what
    the reader found wrong, in words. Scans of one ``subject`` are of one person. ``origin`` is
    where a case without a name stands."""

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
        """The files that are of this case alone."""
        return [path for path in (*self.images.values(), self.label) if path]

    @property
    def files(self) -> list[str]:
        """All files that the case names. Several cases may share a brain mask."""
        return [*self.scans, *filter(None, [self.brain_mask])]


def cohort_folder(root: str | Path) -> Path:
    """The folder of a cohort; raises ``UserError`` where it is none."""
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"cohort.root: {root} is no folder; name the one that holds the cases")
    return folder
