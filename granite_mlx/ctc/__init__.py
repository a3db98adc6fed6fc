"""What the encoder's character head knows: text, without the decoder."""
