"""What machine is this, and can it run the course? Printed by `make lab`, in under 30 s.

Two depths. The short one (every start) compares the installed versions with the lock and looks at
disk. The full one (first start, or after the lock changed) also imports torch and every room,
multiplies two matrices, takes one training step and names what the processor can do. A line that
begins with `!` needs attention; only the ones marked fatal stop `make lab`.
"""

import importlib
import importlib.metadata
import os
import pkgutil
import platform
import shutil
import sys
import time
from dataclasses import dataclass

from tools import environment
from tools.lock import parse_pins

GIB = 1 << 30
MIN_MEMORY_GIB = 4  # the largest stated budget of a lesson, with room for JupyterLab
MIN_DISK_GIB = 1


@dataclass(frozen=True)
class Finding:
    """One line of the self-check: a subject, what was found, and how bad that is."""

    subject: str
    found: str
    level: str = "ok"  # ok, warning, fatal

    def __str__(self) -> str:
        mark = " " if self.level == "ok" else "!"
        return f" {mark} {self.subject:9} {self.found}"


def look_at_versions() -> Finding:
    """Compare what is installed with requirements.txt, local tags such as +cpu left aside."""
    wrong = []
    for name, wanted in parse_pins((environment.ROOT / "requirements.txt").read_text()).items():
        try:
            found = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != wanted:
            wrong.append(f"{name} {found} (lock: {wanted})")
    if not wrong:
        return Finding("versions", "as in requirements.txt")
    level = "fatal" if any("missing" in row for row in wrong) else "warning"
    return Finding("versions", f"not as in requirements.txt: {', '.join(wrong[:4])}", level)


def look_at_disk() -> Finding:
    """Say how much disk is free, for checkpoints, shards and the corpora's cache."""
    free = shutil.disk_usage(environment.ROOT).free / GIB
    if free < MIN_DISK_GIB:
        return Finding("disk", f"only {free:.1f} GiB free; free at least {MIN_DISK_GIB}", "fatal")
    return Finding("disk", f"{free:.0f} GiB free")


def look_at_machine() -> list[Finding]:
    """Say which system, how many cores and how much memory."""
    import psutil

    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    if memory.total / GIB < MIN_MEMORY_GIB:
        low = Finding("memory", f"{found}; the larger lessons want {MIN_MEMORY_GIB} GiB", "warning")
    else:
        low = Finding("memory", found)
    return [Finding("system", system), Finding("cores", str(cores)), low]


def look_at_torch() -> list[Finding]:
    """Import torch and say its version, the processor's vector width, bf16 speed and the GPU."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    slow = capability == "DEFAULT" and platform.machine().lower() in ("x86_64", "amd64")
    cpu = Finding("vectors", capability)
    if slow:
        text = "no AVX2: torch works, but lessons take several times as long"
        cpu = Finding("vectors", text, "warning")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none (none is needed)"
    ratio = measure_matmul(torch.float32) / measure_matmul(torch.bfloat16)
    bf16 = f"{ratio:.2g} times the speed of float32, in a product of two 256 x 256 matrices"
    return [
        Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
        cpu,
        Finding("bf16", bf16),
        Finding("GPU", gpu),
    ]


def measure_matmul(dtype: object, n: int = 256, repeats: int = 4) -> float:
    """Return the best of some timings of an (n, n) matrix product, in seconds."""
    import torch

    x = torch.ones(n, n, dtype=dtype)  # type: ignore[arg-type]
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        x @ x
        best = min(best, time.perf_counter() - start)
    return best


def look_at_training() -> Finding:
    """Take a few steps of gradient descent on a line and see the loss fall."""
    import torch

    torch.manual_seed(0)
    x = torch.randn(64, 8)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        loss = (model(x) - x.sum(dim=1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if losses[-1] < 0.1 * losses[0]:
        return Finding("training", f"20 steps took a loss from {losses[0]:.2f} to {losses[-1]:.4f}")
    return Finding("training", f"the loss did not fall: {losses[0]} to {losses[-1]}", "fatal")


def look_at_rooms() -> Finding:
    """Import each room of the package."""
    import minillm

    broken, rooms = [], [module.name for module in pkgutil.iter_modules(minillm.__path__)]
    for name in rooms:
        if name == "__main__":
            continue
        try:
            importlib.import_module(f"minillm.{name}")
        except Exception as error:
            broken.append(f"{name} ({type(error).__name__}: {error})")
    if broken:
        return Finding("package", f"cannot be imported: {'; '.join(broken)}", "fatal")
    return Finding("package", f"minillm {minillm.__version__}, {len(rooms)} parts, all importable")


def report(full: bool = False) -> bool:
    """Run the self-check and print it.

    Args:
        full: look at everything, even if a full check of this environment passed before.

    Returns:
        False if something was found that makes the lessons impossible.
    """
    start = time.perf_counter()
    stamp = environment.VENV / ".minillm-checked"
    wanted = environment.fingerprint("requirements.txt") + platform.node()
    full = full or not environment.is_current(stamp, wanted)
    findings = [*look_at_machine(), look_at_disk(), look_at_versions()]
    if full and all(finding.level != "fatal" for finding in findings):
        findings += [*look_at_torch(), look_at_training(), look_at_rooms()]
    kind = "self-check" if full else "self-check (short; `make lab` did the full one before)"
    print(f"minillm: {kind}")
    print("\n".join(str(finding) for finding in findings))
    passed = all(finding.level != "fatal" for finding in findings)
    seconds = time.perf_counter() - start
    print(f"minillm: {'ready' if passed else 'NOT ready: see the ! lines'} ({seconds:.1f} s)")
    if passed and full and environment.VENV.is_dir():
        stamp.write_text(wanted)
    return passed


if __name__ == "__main__":
    sys.exit(not report(full=True))
