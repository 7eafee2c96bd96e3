"""`./run chaos`: kills and breaks everything at random, and then asks whether every promise held."""
