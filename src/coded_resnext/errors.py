"""Errors that the command line reports as one line, without a traceback."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says which file, why, and what to do."""


class TrainingDiverged(ArithmeticError):
    """The loss is no number any more; the last good checkpoint is kept."""


class NotebookFailed(RuntimeError):
    """A cell raised; the message has the notebook, the cell, the error and where the executed copy is."""


class NothingToShow(LookupError):
    """A figure or table that a preset's records do not have; the message says what is missing and what makes it."""


class NotEqual(ArithmeticError):
    """Two forms of one network answered differently; the message says by how much."""


class RunsFailed(RuntimeError):
    """Some of several runs that were started side by side stopped; the message names them."""
