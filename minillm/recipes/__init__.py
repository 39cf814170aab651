"""The runs of the course: what a run is, which there are, and how one is carried out."""
