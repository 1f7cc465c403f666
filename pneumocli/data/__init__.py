"""Films: where they come from, how they are read, listed, split, checked and fed to the network."""
