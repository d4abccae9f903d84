"""Pixels in, pixels out: photos, videos, crops, drawing. The only importer of cv2 and av."""
