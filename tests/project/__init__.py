"""What holds of the checkout itself: the wheel, the README, the docs, the notebooks."""
