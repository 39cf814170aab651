"""The room inference of minillm."""
