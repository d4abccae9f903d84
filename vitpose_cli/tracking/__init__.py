"""Who is who over the frames of a video, and smoother poses along each identity."""
