"""The room model of minillm."""
