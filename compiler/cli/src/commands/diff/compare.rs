//! The whole of two manifests side by side. What only follows from the rest is left out: the graph and the golden
//! probe, the certificate, digests, places in files; and so is `config.json`, which the model follows from.

use std::collections::{BTreeMap, BTreeSet};

use samp_abi::plan::{GOLDEN_FILE, PlainFile, Plan, Tensor};
use serde::Serialize;
use serde_json::Value;

use super::{change::Change, split_weights, steps};
use samp_compiler::{
    emit::{CERTIFICATE_FILE, GRAPH_FILE},
    lower::size::Bytes,
};

/// Lists of at most so many values are shown whole.
const SHOWN_VALUES: usize = 8;
const ABSENT: &str = "absent";
/// What the checkpoint's configuration decides stands in the manifest's model; its text may differ for nothing.
const CONFIG_FILE: &str = "config.json";

/// Everything that the plans decide differently, in the order of the manifest.
pub fn differences(a: &Plan, b: &Plan) -> Vec<Change> {
    let mut changes = fields("target", &a.target, &b.target);
    changes.extend(fields("model", &a.model, &b.model));
    changes.extend(fields("limits", &a.limits, &b.limits));
    changes.extend(fields("kv", &a.kv, &b.kv));
    changes.extend(steps::differences(a, b));
    changes.extend(tensors(a, b));
    changes.extend(files(a, b));
    for (what, x, y) in [
        ("weights", a.memory.weights_bytes, b.memory.weights_bytes),
        ("activation arena", a.memory.arena_bytes, b.memory.arena_bytes),
        ("KV cache of one token", a.memory.kv_bytes_per_token, b.memory.kv_bytes_per_token),
    ] {
        if x != y {
            let change = Change::new(what, "", Bytes(x), Bytes(y));
            changes.push(Change { bytes: Some(i128::from(y) - i128::from(x)), ..change });
        }
    }
    changes
}

/// What the plans call their checkpoints, where they do not call them the same; it decides nothing.
pub fn names(a: &Plan, b: &Plan) -> Vec<Change> {
    fields("name", &a.provenance.name, &b.provenance.name)
}

/// Every field of a part of the manifest, so that none can be forgotten; its path in `plan.json` is the subject.
fn fields(path: &str, a: &impl Serialize, b: &impl Serialize) -> Vec<Change> {
    let value = |part: Result<Value, _>| part.expect("the manifest has only string keys");
    let mut changes = vec![];
    collect(path, &value(serde_json::to_value(a)), &value(serde_json::to_value(b)), &mut changes);
    changes
}

fn collect(path: &str, a: &Value, b: &Value, changes: &mut Vec<Change>) {
    match (a, b) {
        _ if a == b => {}
        (Value::Object(x), Value::Object(y)) => {
            for (key, value) in x {
                collect(&format!("{path}.{key}"), value, y.get(key).unwrap_or(&Value::Null), changes);
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() && x.len() > SHOWN_VALUES => {
            let differing: Vec<usize> = (0..x.len()).filter(|&i| x[i] != y[i]).collect();
            let first = differing[0];
            let what = format!("at {} of {} places, first at {first}", differing.len(), x.len());
            changes.push(Change::new(path, &what, shown(&x[first]), shown(&y[first])));
        }
        _ => changes.push(Change::new(path, "", shown(a), shown(b))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.len() > SHOWN_VALUES => format!("{} values", values.len()),
        other => other.to_string(),
    }
}

fn tensors(a: &Plan, b: &Plan) -> Vec<Change> {
    let (in_a, in_b) = (by_name(a), by_name(b));
    let mut changes = vec![];
    for tensor in a.tensors.iter().filter(|tensor| !split_weights::is_member(tensor, b)) {
        match (in_b.get(tensor.name.as_str()), split_weights::members(tensor, b)) {
            (Some(other), _) => changes.extend(tensor_change(tensor, other)),
            (None, Some(members)) => {
                changes.extend(split_weights::split(tensor, &members).map(|split| Change {
                    bytes: Some(split.added_bytes),
                    ..Change::new(&tensor.name, "", split.fused, split.members)
                }));
            }
            (None, None) => changes.push(Change::new(&tensor.name, "", tensor.format, ABSENT)),
        }
    }
    let added =
        b.tensors.iter().filter(|t| !in_a.contains_key(t.name.as_str()) && !split_weights::is_member(t, a));
    for tensor in added {
        match split_weights::members(tensor, a) {
            Some(members) => {
                changes.extend(split_weights::split(tensor, &members).map(|split| Change {
                    bytes: Some(-split.added_bytes),
                    ..Change::new(&tensor.name, "", split.members, split.fused)
                }));
            }
            None => changes.push(Change::new(&tensor.name, "", ABSENT, tensor.format)),
        }
    }
    changes
}

fn by_name(plan: &Plan) -> BTreeMap<&str, &Tensor> {
    plan.tensors.iter().map(|t| (t.name.as_str(), t)).collect()
}

/// The first of shape, format, layout and values that differs; the others would only follow from it.
fn tensor_change(a: &Tensor, b: &Tensor) -> Option<Change> {
    let shape = |t: &Tensor| format!("[{}, {}]", t.rows, t.cols);
    let values = |t: &Tensor| t.parts.iter().map(|p| p.blake3.clone()).collect::<Vec<_>>();
    let name = a.name.as_str();
    if shape(a) != shape(b) {
        return Some(Change::new(name, "shape", shape(a), shape(b)));
    }
    if a.format != b.format {
        let bytes = i128::from(b.bytes()) - i128::from(a.bytes());
        return Some(Change { bytes: Some(bytes), ..Change::new(name, "", a.format, b.format) });
    }
    if a.layout != b.layout {
        return Some(Change::new(name, "layout", a.layout, b.layout));
    }
    (values(a) != values(b)).then(|| Change::new(name, "values", "one set", "another"))
}

/// Files that were carried along, by their hashes.
fn files(a: &Plan, b: &Plan) -> Vec<Change> {
    let carried = |plan: &Plan| -> BTreeMap<String, String> {
        let derived = [GRAPH_FILE, CERTIFICATE_FILE, GOLDEN_FILE, CONFIG_FILE];
        let files = plan.files.iter().filter(|f| !derived.contains(&f.path.as_str()));
        files
            .map(|PlainFile { path, blake3, .. }| (path.clone(), blake3.chars().take(12).collect()))
            .collect()
    };
    let (in_a, in_b) = (carried(a), carried(b));
    let all: BTreeSet<&String> = in_a.keys().chain(in_b.keys()).collect();
    let hash = |files: &BTreeMap<String, String>, path| files.get(path).map_or(ABSENT.into(), String::clone);
    let pairs = all.into_iter().map(|path| (path, hash(&in_a, path), hash(&in_b, path)));
    pairs.filter(|(_, x, y)| x != y).map(|(path, x, y)| Change::new(path, "file", x, y)).collect()
}

#[cfg(test)]
mod tests;
