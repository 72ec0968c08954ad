//! Puts the parts together: the run loop and the API that tests and the CLI use.
