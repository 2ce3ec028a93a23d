"""A trainer that is copied to those of nnU-Net: seconds in place of a day."""

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerTiny(nnUNetTrainer):  # noqa: N801  nnU-Net's naming
    """Two epochs of two steps."""

    def initialize(self):
        self.num_epochs = 2
        self.num_iterations_per_epoch = self.num_val_iterations_per_epoch = 2
        super().initialize()
