"""The room evaluate of minillm."""
