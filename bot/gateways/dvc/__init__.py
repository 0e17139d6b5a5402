"""DVC's files in a training repository, and whether a remote of DVC's has an object. DVC itself is not needed."""
