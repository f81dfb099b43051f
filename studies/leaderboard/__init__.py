"""The parts of the leaderboard: entrants, features, training of a head, tuning, significance, tables."""
