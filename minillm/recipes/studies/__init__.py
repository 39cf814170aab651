"""The recorded experiments of the lessons, one file each with a `JOB`; see recipes/records.py."""
