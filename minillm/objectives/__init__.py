"""The room objectives of minillm."""
