"""Storage: the ledger, the images, the snapshot and the folder of a run."""
