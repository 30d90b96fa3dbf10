"""The command line: one module a command; it parses, calls `energybench.app` and prints."""
