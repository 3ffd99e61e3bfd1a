"""Settings of deterministic runs, which every run is."""
fill_uninitialized_memory = True
