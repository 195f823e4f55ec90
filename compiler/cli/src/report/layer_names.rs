//! Where a weight or a step stands in the model.

/// `layers.3.mlp.down_proj` is `mlp.down_proj` of layer 3; what lies outside the layers has none.
pub fn split_layer(name: &str) -> (Option<u64>, &str) {
    let inside = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
    match inside.and_then(|(layer, place)| Some((layer.parse().ok()?, place))) {
        Some((layer, place)) => (Some(layer), place),
        None => (None, name),
    }
}

/// A row for people: `layer 3`, or the name of what lies outside.
pub fn row_name(name: &str) -> String {
    match split_layer(name) {
        (Some(layer), _) => format!("layer {layer}"),
        (None, name) => name.into(),
    }
}

/// Whether a row is of a layer, by its [`row_name`].
pub fn is_layer(row: &str) -> bool {
    row.strip_prefix("layer ").is_some_and(|number| number.parse::<u64>().is_ok())
}

/// The distinct items, in the order in which they first appear.
pub fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = vec![];
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::{is_layer, row_name, split_layer};

    #[test]
    fn names_tell_their_layer() {
        assert_eq!(split_layer("layers.3.mlp.down_proj"), (Some(3), "mlp.down_proj"));
        assert_eq!(split_layer("lm_head"), (None, "lm_head"));
        assert_eq!(split_layer("layers.x.y"), (None, "layers.x.y"));
        assert_eq!((row_name("layers.3.a"), row_name("norm")), ("layer 3".into(), "norm".into()));
        assert_eq!(["layer 3", "lm_head", "layer norm"].map(is_layer), [true, false, false]);
    }
}
