"""One module for each image format, and the table that lists them."""
