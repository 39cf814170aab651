"""`python -m minillm clean`: all of Part 1 on a folder of text, with a report and with resume.

The ladder: `config` (what is done), `reader` (files to documents), `steps` (what one document goes
through), `folder` (the whole folder), `report` (what was removed, and why), `blocks` (the same
steps in a datatrove pipeline).
"""

from minillm.recipes.cleaning.config import CleanConfig
from minillm.recipes.cleaning.folder import clean_folder

__all__ = ["CleanConfig", "clean_folder"]
