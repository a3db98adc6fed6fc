"""The recipe of the demo checkpoint: data, training, evaluation, export. Not installed with the package."""
