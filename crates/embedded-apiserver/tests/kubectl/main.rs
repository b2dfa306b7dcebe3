//! The real kubectl against the server, over TLS with the generated kubeconfig.
#![recursion_limit = "256"]

mod fixture;
mod reading;
mod writing;
