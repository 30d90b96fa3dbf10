"""Where acquisition and analysis meet: each module joins the two for one job of a user."""
