"""The local server. Import from the modules: this one loads nothing. Docs: docs/live.md."""
