"""The paths of some classes as networks of their own (section 4.3): cut out, measured, changed, exported."""
