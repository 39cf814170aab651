"""The room train of minillm."""
