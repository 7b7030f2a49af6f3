"""What ``--criterion`` names."""
