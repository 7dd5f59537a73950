//! See the end-to-end tests.
