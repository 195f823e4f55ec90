//! The runtime over small plans that the tests make themselves: what it refuses, and what it computes.

mod bench;
mod chat;
mod engine;
mod faults;
mod manifests;
mod mutated_manifests;
mod plan_files;
mod sampling;
mod seeds;
mod session;
mod shared_pages;
mod signatures;
mod support;
mod template_idioms;
mod text;
mod unnamed;
