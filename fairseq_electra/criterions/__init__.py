"""The criteria that ``--criterion`` names."""
