"""Files of results: the COCO document and the run folder with its journal."""
