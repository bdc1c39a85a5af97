"""The control loop: observe, plan, act, report."""
