"""What ``--arch`` names. fairseq imports every file of this folder, so each one registers a model."""
