"""What makes two machines print the same digits."""

import platform
from pathlib import Path


def machine_class() -> str:
    """System, processor, widest vector unit and Python minor version, in one line."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.is_file() else ""
    vectors = next((unit for unit in ("avx512f", "avx2", "asimd") if unit in flags), "other")
    python = ".".join(platform.python_version_tuple()[:2])
    return f"{platform.system()} {platform.machine()} {vectors} Python {python}"
