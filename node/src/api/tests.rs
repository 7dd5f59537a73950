//! Handlers against a stand-in node.
