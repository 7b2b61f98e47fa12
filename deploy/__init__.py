"""What surrounds the product: the dev stack, the pinned real parts and how they are obtained. Not in the wheel."""
