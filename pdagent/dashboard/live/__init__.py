"""`status --watch`: the dashboard that redraws itself and listens to keys."""
