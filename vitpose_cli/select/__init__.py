"""What a person should look at next: doubts, their ranking, a varied choice, and reasons."""
