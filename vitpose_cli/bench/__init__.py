"""How fast a machine labels, as a whole and stage by stage."""
