//! Stable codes of what the graph, its text and its verifier refuse. Each is declared once in the workspace and means
//! one thing.
//!
//! Texts of graphs come from files of tests and of developers. In a compile, samp wrote the graph itself: there, a
//! finding with one of these codes is a bug in samp.

samp_abi::error_codes! {
    NOT_A_GRAPH = "E0101", Input, "The text is not a graph",
        "MLIR's parser refused the text. Its first message is the error, further ones are notes.",
        "Mend the text at the line that the error names.";
    NOT_ONE_FUNCTION = "E0102", Input, "The graph is not one function of the expected name",
        "A graph is one function @forward of one block, with the inputs and the result that the hint of the error \
         shows.",
        "Put all ops into one such function.";
    FOREIGN_OP = "E0103", Input, "An op is not of the samp dialect",
        "Inside of @forward only ops whose names begin with `samp.` and the function's return may stand.",
        "Replace the op; passes/ir lists those that exist.";
    ATTRIBUTE = "E0104", Input, "An attribute is unknown or has a wrong value",
        "Each op has a fixed list of attributes and the values that they may have; this one is not among them.",
        "Correct the attribute's name or value as the error says.";
    TENSOR_TYPE = "E0105", Input, "A result has a type that is no tensor type of samp",
        "Results are activations (a dynamic number of rows and a width) or weights (a vector or a matrix) of known \
         element types.",
        "Give the result a type of that kind.";
    WEIGHT_OPERAND = "E0106", Input, "A weight stands where an activation is expected, or the other way round",
        "Operands that are weights come from `samp.weight`, all others from computing ops.",
        "Exchange the operand.";
    NESTING = "E0107", Input, "Brackets of the text are nested too deep",
        "Texts with absurdly deep brackets are refused before MLIR's recursive parser sees them.",
        "Write the graph without them; a graph needs few levels.";
    ILLEGAL_IN_PHASE = "E0201", Input, "An op, or a form of it, does not belong to the phase of the graph",
        "Each phase of lowering (model, fused, annotated, typed, selected, planned) permits certain ops only.",
        "Set samp.phase to the phase that the graph is in, or use the ops of its phase.";
    WEIGHT = "E0202", Input, "A weight is not a named matrix or vector of floats with sources",
        "A `samp.weight` names the tensors of the checkpoint that it is made of and has one or two dimensions.",
        "Give the weight its key, its sources and a float type.";
    EMBED = "E0203", Input, "An embedding does not turn token ids into rows of its table",
        "An embedding takes i32 token ids and gives rows as wide as its table.",
        "Make the width of the result that of the table.";
    NORM = "E0204", Input, "A norm changes the shape, or has not one weight for each channel",
        "An RMS norm has a vector with one element per channel, and its result has the shape of its operand.",
        "Make the three widths equal.";
    LINEAR = "E0205", Input, "The shapes of a linear, its weight and its result do not fit",
        "The weight has as many columns as the operand is wide, and as many rows as the result is wide.",
        "Correct the shape that the error names.";
    ROPE = "E0206", Input, "A rotary embedding changes the shape, or turns heads of odd width",
        "Rotary embeddings turn pairs of channels, so that heads are of even width, and keep the shape.",
        "Correct head_dim or the type of the result.";
    ATTENTION = "E0207", Input, "Widths of attention do not follow from its heads",
        "Widths are heads times head_dim, and the number of KV heads divides that of heads.",
        "Correct the attributes or the types that the error names.";
    SILU_MUL = "E0208", Input, "Gate, up and result have not one shape",
        "Gate and up are two operands of one shape, or lie side by side in one operand of twice the width.",
        "Make the shapes equal.";
    ADD = "E0209", Input, "The summands and the sum have not one shape",
        "A sum of activations is element by element.",
        "Make the shapes equal.";
    GATHER = "E0210", Input, "A gather does not take row numbers, or changes the width",
        "A gather chooses rows of an activation by i32 row numbers and keeps their width.",
        "Correct the operand or the type of the result.";
    ACTIVATION_TYPE = "E0211", Input, "An activation is not f32 before types are assigned",
        "Until the phase `typed` all activations are f32; narrower types are given afterwards.",
        "Give the activation the type f32.";
    DUPLICATE_NAME = "E0212", Input, "A label of an op or a key of a weight occurs twice",
        "Labels and keys identify ops and weights in recipes, profiles and messages, so that they are unique.",
        "Rename one of the two.";
    ROW_COUNT = "E0213", Input, "The operands of an op count different rows",
        "Activations have a row per token until the gather, and a row per output after it.",
        "Use operands of the same side of the gather.";
    CACHE_ORDER = "E0214", Input, "A layer does not append to its cache once and read it after that",
        "Each layer's KV cache is appended to exactly once in a step, before attention reads it.",
        "Correct the layer numbers or the order.";
    GRAPH_RESULT = "E0215", Input, "The graph does not return f32 logits of its outputs",
        "The one result of the function is an f32 row of logits for each row that outputs are wanted of.",
        "Return the head's result after the gather.";
    CONCAT = "E0216", Input, "The parts of a concatenation do not lie side by side in its result",
        "The width of the result is the sum of the widths of its parts.",
        "Correct the width.";
    WEIGHT_FORMAT = "E0220", Input, "The format of a weight is missing, unfit or too early",
        "From the phase `typed` on each weight has a format, f32 for vectors; before it none has one.",
        "Add or remove the format, or set samp.phase.";
    WEIGHT_LAYOUT = "E0221", Input, "The layout of a weight is missing, unfit or too early",
        "From the phase `selected` on each weight has a layout that its format can be packed in; before it none \
         has one.",
        "Add or remove the layout, or set samp.phase.";
    KERNELS = "E0222", Input, "The kernels of an op are missing, unfit or too early",
        "From the phase `selected` on each computing op names a kernel for each token bucket; before it none does.",
        "Add or remove the kernels, or set samp.phase.";
    TOKEN_BUCKETS = "E0223", Input, "Two ops have different token buckets",
        "A step runs in one bucket, so that all ops are compiled for the same ones.",
        "Give all ops the same buckets.";
    SENSITIVITY = "E0224", Input, "The sensitivity of a weight is malformed or too early",
        "From the phase `annotated` on a weight may say what each format loses; before it none does.",
        "Write formats with their losses, or set samp.phase.";
    OFFSETS = "E0230", Input, "The offsets of an op are missing, unfit or too early",
        "In the phase `planned` each result has an aligned offset in the arena; before it none has one.",
        "Add or remove the offsets, or set samp.phase.";
    ARENA = "E0231", Input, "Tensors lie outside of the arena, or overlap while alive",
        "At the most rows that a step has, each tensor lies within samp.arena_bytes, and no two that are alive at \
         the same time share bytes.",
        "Correct the offsets or the size of the arena.";
}
