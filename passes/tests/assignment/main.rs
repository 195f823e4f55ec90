//! The assignment solver against trying everything and a dynamic programme, at its edges, and on the sizes of
//! Llama-3-70B.

mod dynamic;
mod edges;
mod exhaustive;
mod explained;
mod random;
mod seventy;
