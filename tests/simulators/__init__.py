"""Stand-ins and observers that tests put between real parts."""
