"""Values of the ``nnunet`` section."""

from typing import Literal

from pydantic import Field

from workflow_scripts.common.settings import Section, UserPath


class NNUNetSettings(Section):
    """nnU-Net, where it is installed: a second segmentation network, asked the same question."""

    commands: UserPath | None = Field(
        description="folder that nnUNetv2_train and nnU-Net's other commands lie in; null: those "
        "on the PATH"
    )
    trainer: str = Field(
        description="nnU-Net's class that trains, and thereby for how long: nnUNetTrainer is "
        "1000 epochs, nnUNetTrainer_100epochs what it says",
        pattern=r"^\w+$",
    )
    configuration: Literal["3d_fullres", "2d"] = Field(description="of nnU-Net's plans")
