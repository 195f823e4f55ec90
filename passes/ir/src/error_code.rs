//! Stable codes of what the graph, its text and its verifier refuses or warns of. Each is declared here, once in the workspace, and means one thing.

/// The text is not a graph.
pub const NOT_A_GRAPH: &str = "E0101";
/// The graph is not one function of the expected name.
pub const NOT_ONE_FUNCTION: &str = "E0102";
/// An op is not of the samp dialect.
pub const FOREIGN_OP: &str = "E0103";
/// An attribute is unknown or has a wrong value.
pub const ATTRIBUTE: &str = "E0104";
/// A result has a type that is no tensor type of samp.
pub const TENSOR_TYPE: &str = "E0105";
/// A weight stands where an activation is expected, or the other way round.
pub const WEIGHT_OPERAND: &str = "E0106";
/// Brackets of the text are nested too deep.
pub const NESTING: &str = "E0107";
/// An op, or a form of it, does not belong to the phase of the graph.
pub const ILLEGAL_IN_PHASE: &str = "E0201";
/// A weight is not a named matrix or vector of floats with sources.
pub const WEIGHT: &str = "E0202";
/// An embedding does not turn token ids into rows of its table.
pub const EMBED: &str = "E0203";
/// A norm changes the shape or has not one weight for each channel.
pub const NORM: &str = "E0204";
/// The shapes of a linear, its weight and its result do not fit.
pub const LINEAR: &str = "E0205";
/// A rotary embedding changes the shape or turns heads of odd width.
pub const ROPE: &str = "E0206";
/// Widths of attention do not follow from its heads.
pub const ATTENTION: &str = "E0207";
/// Gate, up and result have not one shape.
pub const SILU_MUL: &str = "E0208";
/// The summands and the sum have not one shape.
pub const ADD: &str = "E0209";
/// A gather does not take row numbers, or changes the width.
pub const GATHER: &str = "E0210";
/// An activation is not f32 before types are assigned.
pub const ACTIVATION_TYPE: &str = "E0211";
/// A label of an op or a key of a weight occurs twice.
pub const DUPLICATE_NAME: &str = "E0212";
/// The operands of an op count different rows.
pub const ROW_COUNT: &str = "E0213";
/// A layer does not append to its cache once and read it after that.
pub const CACHE_ORDER: &str = "E0214";
/// The graph does not return f32 logits of its outputs.
pub const GRAPH_RESULT: &str = "E0215";
/// The parts of a concatenation do not lie side by side in its result.
pub const CONCAT: &str = "E0216";
/// The format of a weight is missing, unfit or too early.
pub const WEIGHT_FORMAT: &str = "E0220";
/// The layout of a weight is missing, unfit or too early.
pub const WEIGHT_LAYOUT: &str = "E0221";
/// The kernels of an op are missing, unfit or too early.
pub const KERNELS: &str = "E0222";
/// Two ops have different token buckets.
pub const TOKEN_BUCKETS: &str = "E0223";
/// The sensitivity of a weight is malformed or too early.
pub const SENSITIVITY: &str = "E0224";
/// The offsets of an op are missing, unfit or too early.
pub const OFFSETS: &str = "E0230";
/// Tensors lie outside of the arena, or overlap while alive.
pub const ARENA: &str = "E0231";
