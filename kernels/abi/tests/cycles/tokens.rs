//! Paths among the tokens of a macro, which the parser leaves as they are.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};

/// Every `a::b::c` in the tokens, single names among them; fields and methods, which follow a dot, are left out.
pub fn paths_in(tokens: TokenStream) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut path: Vec<String> = Vec::new();
    let (mut colons, mut after_dot) = (0, false);
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if colons != 2 {
                    found.insert(std::mem::take(&mut path));
                }
                if !after_dot {
                    path.push(name.to_string());
                }
                (colons, after_dot) = (0, false);
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                found.insert(std::mem::take(&mut path));
                found.extend(paths_in(group.stream()));
                (colons, after_dot) = (0, false);
            }
            TokenTree::Punct(mark) => {
                found.insert(std::mem::take(&mut path));
                (colons, after_dot) = (0, mark.as_char() == '.');
            }
            TokenTree::Literal(_) => {
                found.insert(std::mem::take(&mut path));
                (colons, after_dot) = (0, false);
            }
        }
    }
    found.insert(path);
    found.remove(&Vec::new());
    found
}
