"""Who is measured: a program for each, which answers requests in an environment of its own."""
