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
        description="nnU-Net's trainer class, which determines the number of epochs: "
        "nnUNetTrainer has 1000, nnUNetTrainer_100epochs 100",
        pattern=r"^\w+$",
    )
    configuration: Literal["3d_fullres", "2d"] = Field(
        description="configuration of nnU-Net's plans"
    )
