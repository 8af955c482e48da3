"""A page that shows runs while they are in progress, and stops or resumes them."""
