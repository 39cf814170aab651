"""A place in a store that no earlier start of the same run has written to.

Ranks find one another by a store: each writes where it can be reached, and reads where the others
are. torchrun keeps the store when it starts the ranks anew after a failure. A rank that is quick
then reads the address of one that is dead, and calls where nobody answers. So each start first
agrees on a corner of the store with a name that was never used before.

The number of the restart would not do for a name: torchrun counts it on each machine by itself, and
where one machine lost a rank and the others did not, the counts differ
(https://github.com/pytorch/pytorch/issues/135712; the fault is open as issue 167288).
"""

import time
import uuid

import torch.distributed as dist


def fresh_corner(
    store: dist.Store, rank: int, size: int, *, timeout_s: float = 600.0
) -> dist.PrefixStore:
    """Agree with all ranks of this start on an empty corner of a store.

        rank r     writes a new word under word/r, and waits for the answer to that very word
        rank 0     answers each word that it reads there, old or new, until all ranks have come

    An old word of rank r is answered, too, but nobody waits for it any more.

    Args:
        store: that all ranks share; it may hold anything of earlier starts.
        rank: of this process.
        size: ranks of this start.
        timeout_s: to wait for the others.

    Returns:
        The corner: a store with a name of its own, the same on all ranks.

    Raises:
        TimeoutError: if a rank does not come; on rank 0 it says which.

    Cost: a few short messages a rank.
    Lesson: notebooks/24_fsdp.ipynb
    """
    mine, until = uuid.uuid4().hex, time.monotonic() + timeout_s
    if rank:
        store.set(f"word/{rank}", mine)
        _wait(store, f"answer/{mine}", until, "rank 0 did not answer")
        corner = dist.PrefixStore(store.get(f"answer/{mine}").decode(), store)
        corner.set(f"came/{rank}", "")
        return corner
    corner = dist.PrefixStore(mine, store)
    missing, answered = list(range(1, size)), set[str]()
    while missing:
        for other in missing:
            word = store.get(f"word/{other}").decode() if store.check([f"word/{other}"]) else ""
            if word and word not in answered:  # once: a store in a file keeps all that is written
                store.set(f"answer/{word}", mine)
                answered.add(word)
        missing = [other for other in missing if not corner.check([f"came/{other}"])]
        if missing and time.monotonic() > until:
            raise TimeoutError(f"ranks {missing} of {size} did not come within {timeout_s:g} s")
        time.sleep(0.01 if missing else 0.0)
    return corner


def _wait(store: dist.Store, key: str, until: float, what: str) -> None:
    """Wait for a key; by asking, as a store's own wait prints its stack when time is over."""
    while not store.check([key]):
        if time.monotonic() > until:
            raise TimeoutError(f"{what} in time; was it started, and can it be reached?")
        time.sleep(0.01)
