"""What the shipped worlds are built of: URDFs, meshes, textures and model cards, as package data."""
