"""What ``--optimizer`` names."""
