"""How good transcripts are: rows, the answers to them, scores, figures and a report.

Nothing here loads a model; `error_rates` and what it builds on know texts only.
"""
