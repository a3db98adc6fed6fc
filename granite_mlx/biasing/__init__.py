"""The user's terms: read, looked for in what the encoder hears, offered to the decoder, reported.

Docs: docs/keywords.md.
"""
