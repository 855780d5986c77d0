"""What each file under a path is: one module a layout, all of them in `LAYOUTS` of `read`."""
