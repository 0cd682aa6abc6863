"""Coding schemes (section 3.1, appendix A): what a scheme is, how far apart words can be, and how one is designed."""
