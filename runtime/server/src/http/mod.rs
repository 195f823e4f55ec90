//! HTTP: the listener, the pages, and answers as they come.

mod answer;
mod app;
mod body;
mod choice;
mod generate;
mod keys;
mod listener;
mod pages;
mod stream;

pub use self::{app::App, body::BodyLimits, keys::ApiKeys, listener::Listener};
