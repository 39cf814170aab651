"""The room data of minillm."""
