"""Keep the batch at which a run stopped: without it nobody can find out why."""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from minillm.train.stability import NotFiniteError

NAME = "bad_batch.safetensors"


def with_batch(
    error: NotFiniteError,
    micro: Sequence[tuple[Tensor, Tensor]],
    folder: str | Path | None,
) -> NotFiniteError:
    """Hang the batch on the error, and write it into the folder, if there is one.

    Args:
        error: what went wrong.
        micro: pairs (x, y) of the step, one for each forward pass.
        folder: of the run; None writes nothing.

    Returns:
        An error of the same kind that says where the batch is.

    Lesson: notebooks/21_stability.ipynb
    """
    where = "error.batch holds the batch"
    if folder is not None:
        path = Path(folder) / NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, Tensor] = {}
        for i, (x, y) in enumerate(micro):
            tensors |= {f"x{i}": x.cpu().contiguous(), f"y{i}": y.cpu().contiguous()}
        save_file(tensors, path)
        where = f"the batch is in {path}"
    told = type(error)(f"{error}; {where}")
    told.batch = list(micro)
    return told


def read_batch(folder: str | Path) -> list[tuple[Tensor, Tensor]]:
    """Read the batch that with_batch has written.

    Args:
        folder: of the run.

    Returns:
        Pairs (x, y) of ids, one for each forward pass.

    Raises:
        FileNotFoundError: if there is none.

    Lesson: notebooks/21_stability.ipynb
    """
    found = load_file(Path(folder) / NAME)
    return [(found[f"x{i}"], found[f"y{i}"]) for i in range(len(found) // 2)]
