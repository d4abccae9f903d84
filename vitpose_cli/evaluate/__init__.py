"""How good labels are: COCO's AP and AR, and tables by keypoint and by part of the body."""
