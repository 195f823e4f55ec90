//! The server over a plan of the shipped checkpoint, asked as clients ask it.

mod answers;
mod client;
mod dashboard;
mod deploy;
mod faults;
mod judge;
mod load_test;
mod metrics;
mod openai;
mod openapi;
mod pages;
mod same_text;
mod support;
mod tools;
mod verify;
