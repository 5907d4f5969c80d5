"""Running exported models on images and folders. Never imports PyTorch."""
