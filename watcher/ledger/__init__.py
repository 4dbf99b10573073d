"""What happened? Verdicts, outcomes, and the figures made from them."""
