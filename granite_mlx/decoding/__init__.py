"""From encoded audio to text: prompts, tokens, generation."""
