"""The waist: what acquisition writes and analysis reads. Nothing here needs hardware, a meter or torch."""
