"""Web servers: the page on which people rate images, and rewards behind a URL."""
