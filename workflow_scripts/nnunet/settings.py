"""Values of the ``nnunet`` section."""

from typing import Literal

from pydantic import Field

from workflow_scripts.common.settings import Section, UserPath


class NNUNetSettings(Section):
    """nnU-Net, if installed: a second segmentation network for the same comparison."""

    commands: UserPath | None = Field(
        description="folder of nnUNetv2_train and nnU-Net's other commands; null: those on the PATH"
    )
    trainer: str = Field(
        description="trainer class: nnUNetTrainer (1000 epochs), nnUNetTrainer_100epochs (100), …",
        pattern=r"^\w+$",
    )
    configuration: Literal["3d_fullres", "2d"] = Field(
        description="configuration of nnU-Net's plans: 3d_fullres or 2d"
    )
