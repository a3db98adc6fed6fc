"""How good a transcript is. Knows texts only: no audio, no model."""
