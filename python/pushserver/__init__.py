"""The Django side of pushserver, an HTTP push relay: sending updates, running the daemon."""
