"""What was done to find out: leaderboards, ablations, rebuilt hierarchies. Not installed; run from a checkout."""
