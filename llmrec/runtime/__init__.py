"""What engines of every kind share: folders of converted models, devices, library start-up."""
