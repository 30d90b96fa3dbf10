"""Published networks, written out from their papers, for rows that score a fit. Importing them needs torch."""
