//! Attributes of ops: which there are, of which kind, and how they are read and written.

use melior::ir::{
    Attribute, Type, TypeLike,
    attribute::{
        ArrayAttribute, AttributeLike, DenseI64ArrayAttribute, FloatAttribute, IntegerAttribute,
        StringAttribute,
    },
    operation::OperationLike,
    r#type::IntegerType,
};
use samp_abi::{Format, plan::KernelChoice};

use crate::raw::{self, Operation};

/// What an attribute may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Texts,
    Integer,
    Integers,
    Float,
}

impl Kind {
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Kind::Text => "a string",
            Kind::Texts => "an array of strings",
            Kind::Integer => "a non-negative i64",
            Kind::Integers => "an array<i64> of non-negative numbers",
            Kind::Float => "a finite f64",
        }
    }
}

/// Every attribute of the dialect's ops; a name means the same wherever it stands.
const KINDS: [(&str, Kind); 17] = [
    ("label", Kind::Text),
    ("key", Kind::Text),
    ("sources", Kind::Texts),
    ("transforms", Kind::Texts),
    ("eps", Kind::Float),
    ("layer", Kind::Integer),
    ("scale", Kind::Float),
    ("heads", Kind::Integer),
    ("kv_heads", Kind::Integer),
    ("head_dim", Kind::Integer),
    ("rotary_dim", Kind::Integer),
    ("window", Kind::Integer),
    ("sensitivity", Kind::Texts),
    ("format", Kind::Text),
    ("layout", Kind::Text),
    ("kernels", Kind::Texts),
    ("offsets", Kind::Integers),
];

/// The kind of the attribute `name`; `None` if the dialect has no such attribute.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Whether the attribute `name` of `op` holds what its kind demands.
pub(crate) fn is_well_formed(op: Operation, name: &str, kind: Kind) -> bool {
    match kind {
        Kind::Text => text(op, name).is_some(),
        Kind::Texts => texts(op, name).is_some(),
        Kind::Integer => integer(op, name).is_some(),
        Kind::Integers => integers(op, name).is_some(),
        Kind::Float => float(op, name).is_some_and(f64::is_finite),
    }
}

pub(crate) fn is_present(op: Operation, name: &str) -> bool {
    op.has_attribute(name)
}

pub(crate) fn text(op: Operation, name: &str) -> Option<&'static str> {
    raw::string(op.attribute(name).ok()?)
}

pub(crate) fn texts(op: Operation, name: &str) -> Option<Vec<&'static str>> {
    let array = ArrayAttribute::try_from(op.attribute(name).ok()?).ok()?;
    (0..array.len()).map(|i| raw::string(array.element(i).ok()?)).collect()
}

/// The formats of a weight with their loss in nats per token.
pub(crate) fn sensitivity(op: Operation) -> Option<Vec<(Format, f64)>> {
    let entry = |text: &'static str| {
        let (format, nats) = text.split_once(':')?;
        Some((format.parse().ok()?, nats.parse().ok().filter(|n: &f64| n.is_finite())?))
    };
    texts(op, "sensitivity")?.into_iter().map(entry).collect()
}

pub(crate) fn integer(op: Operation, name: &str) -> Option<u64> {
    let attribute = op.attribute(name).ok()?;
    let integer = IntegerAttribute::try_from(attribute).ok()?;
    let width = IntegerType::try_from(attribute.r#type()).ok().filter(IntegerType::is_signless)?.width();
    if width != 64 {
        return None;
    }
    u64::try_from(integer.value()).ok()
}

pub(crate) fn integers(op: Operation, name: &str) -> Option<Vec<u64>> {
    let array = DenseI64ArrayAttribute::try_from(op.attribute(name).ok()?).ok()?;
    (0..array.len()).map(|i| u64::try_from(array.element(i).ok()?).ok()).collect()
}

pub(crate) fn float(op: Operation, name: &str) -> Option<f64> {
    let attribute = op.attribute(name).ok()?;
    let number = FloatAttribute::try_from(attribute).ok()?;
    attribute.r#type().is_f64().then(|| number.value())
}

/// Reads `kernels`, whose entries are `BUCKET,…:KERNEL`; `None` if it is absent or an entry is not.
pub(crate) fn kernels(op: Operation) -> Option<Vec<KernelChoice>> {
    let bound = |text: &str| text.parse::<u64>().ok().filter(|n| n.to_string() == text);
    let mut choices = vec![];
    for entry in texts(op, "kernels")? {
        let (buckets, kernel) = entry.split_once(':').filter(|(_, kernel)| !kernel.is_empty())?;
        for bucket in buckets.split(',') {
            choices.push(KernelChoice { max_tokens: bound(bucket)?, kernel: kernel.to_owned() });
        }
    }
    Some(choices)
}

/// The entries of `kernels`: one for each run of buckets with the same kernel, `1,2,4:KERNEL`.
pub(crate) fn kernel_entries(kernels: &[KernelChoice]) -> Vec<String> {
    let runs = kernels.chunk_by(|a, b| a.kernel == b.kernel);
    let entry = |run: &[KernelChoice]| {
        let buckets: Vec<String> = run.iter().map(|choice| choice.max_tokens.to_string()).collect();
        format!("{}:{}", buckets.join(","), run[0].kernel)
    };
    runs.map(entry).collect()
}

/// Makes attributes of one context.
#[derive(Clone, Copy)]
pub(crate) struct Maker(pub &'static melior::Context);

impl Maker {
    pub(crate) fn text(self, value: &str) -> Attribute<'static> {
        StringAttribute::new(self.0, value).into()
    }

    pub(crate) fn texts<T: AsRef<str>>(self, values: &[T]) -> Attribute<'static> {
        let values: Vec<_> = values.iter().map(|v| self.text(v.as_ref())).collect();
        ArrayAttribute::new(self.0, &values).into()
    }

    /// # Panics
    /// If `value` exceeds `i64::MAX`.
    pub(crate) fn integer(self, value: u64) -> Attribute<'static> {
        IntegerAttribute::new(IntegerType::new(self.0, 64).into(), signed(value)).into()
    }

    /// # Panics
    /// If a value exceeds `i64::MAX`.
    pub(crate) fn integers(self, values: &[u64]) -> Attribute<'static> {
        let values: Vec<_> = values.iter().map(|&v| signed(v)).collect();
        DenseI64ArrayAttribute::new(self.0, &values).into()
    }

    pub(crate) fn float(self, value: f64) -> Attribute<'static> {
        FloatAttribute::new(self.0, Type::float64(self.0), value).into()
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("sizes and counts are below 2^63")
}
