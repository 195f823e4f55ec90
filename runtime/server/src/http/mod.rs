//! HTTP: the listener, the pages, and answers as they come.

mod admin;
mod answer;
mod app;
mod body;
mod choice;
mod generate;
mod keys;
mod listener;
mod openapi;
mod pages;
mod response;
mod routes;
mod stream;
mod tool_calls;

pub use self::{
    app::App,
    body::BodyLimits,
    keys::ApiKeys,
    listener::Listener,
    routes::{Route, Routes},
};
