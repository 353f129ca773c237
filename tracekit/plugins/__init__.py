"""What plugins may bring, and how it is loaded and checked."""
