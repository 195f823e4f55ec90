//! Stable codes of what the passes refuse or warn of. Each is declared once in the workspace and means one thing.

samp_abi::error_codes! {
    UNMATCHED_PROJECTION = "E0401", Input, "No rule of the recipe matches a projection",
        "A recipe decides the format of every projection of the model; the named ones are matched by no rule.",
        "Put a first rule with the pattern \"*\" into the recipe: it decides for everything that is left.";
    UNUSED_RULE = "E0402", Input, "A rule of the recipe matches no projection",
        "A pattern that matches nothing is taken for a slip of the pen, since the weights that it was meant for \
         would get another format in silence.",
        "Correct the pattern (the error shows names of this model), or remove the rule.";
    MEMBERS_DISAGREE = "E0405", Input, "Members of one fused weight were given different formats",
        "Q, K and V, or gate and up, are stored as one weight here, and one weight has one format.",
        "Give all members the same format.";
    COLUMN_MULTIPLE = "E0406", Input, "A weight gets another format than the recipe's (warning)",
        "Formats with blocks need a number of input channels that their block divides. Where it does not, the same codes in groups of \
         64 stand in if these do, and int8 otherwise.",
        "Nothing has to be done; a rule for the projection, with a format without blocks (f16, bf16, fp8_e4m3 or int8), is \
         followed as it is.";
    NO_OUTLIERS = "E0407", Input, "Nothing is known of the outlier columns of a weight",
        "int8_outliers keeps the columns of channels with outliers in f16, and which these are comes of \
         measurements.",
        "Use int8, or decide by measurements: --calib DATA with int8_outliers in --formats.";
    OVERRIDDEN_RULE = "E0408", Input, "Later rules decide for every projection that a rule matches (warning)",
        "The last rule that matches wins, so that a general rule after a special one makes the special one void.",
        "Move the rule down, or remove it.";
    UNKNOWN_WEIGHT = "E0409", Input, "A measurement names a weight that the graph does not have",
        "The profile was measured on a model with other weights than the one that is compiled.",
        "Measure this model, or compile the one that was measured.";
    INFEASIBLE = "E0410", Refusal, "No assignment of formats satisfies the constraints",
        "The solver proved that no choice of formats keeps all limits at once. The error says which limit lacks how \
         much, and what the least is that each needs.",
        "Widen a limit, or allow more --formats.";
    BAD_LIMIT = "E0415", Input, "A limit is no amount",
        "Limits on bytes, bits, losses and times are numbers from 0 up that are finite.",
        "Give such a number, or leave the limit out.";
    NOT_FOUND = "E0416", Refusal, "No assignment of formats was found within the constraints, and none excluded",
        "The solver gave up: the limits are so tight that neither a choice of formats that keeps them nor a proof that there \
         is none was found.",
        "Widen a limit a little, or allow more --formats.";
    UNMEASURED = "E0411", Input, "A matrix of the graph was not measured",
        "Formats are chosen by measurements, and the profile has none of this weight, or none in a format that the \
         target can run.",
        "Merge the profiles of all layers, measure the whole model, or give other --formats.";
    UNKNOWN_TRANSFORM = "E0413", Input, "A weight that is to be split has a transform that is not known",
        "What is done to a fused weight is handed on to its members, for which each of its transforms has to be \
         known.",
        "Correct the transform in the graph's text; in a compile this is a bug in samp.";
    NO_KERNEL_FOR_OP = "E0501", Input, "The target has no kernel for a kind of op",
        "The model needs an operation that no kernel of this target computes.",
        "Compile for another target; `samp doctor` lists those that this build knows.";
    NO_LAYOUT = "E0502", Input, "No layout of a format serves every user of a weight",
        "A weight is stored once, in one layout, and its users have no kernel for a common one.",
        "Choose another format for the weight.";
    NO_KERNEL_FOR_SHAPE = "E0503", Input, "The target has no kernel for the shape of an op",
        "The target computes such operations, but not with these sizes or this format; the error names them.",
        "Choose another format for it, or another target.";
    UNROTATED = "E0504", Input, "The residual stream cannot be rotated",
        "--quality rotate was asked for, and the stream is not used by norms, sums and linears alone, or its \
         embedding is tied to the head, so that turning it would change what the model computes.",
        "Leave out rotate; equalize evens out channels without it.";
    MIXED_ACTIVATIONS = "E0505", Input, "Weights are stored in both f16 and bf16, of which activations can have only one",
        "Activations are of one type throughout a model, and a weight in f16 or bf16 is exact only beside its own.",
        "Choose the same format for both, or one of 8 bits or less for either.";
    ARENA_TOO_LARGE = "E0601", Input, "The activations of the most tokens are larger than any plan's",
        "The size of an activation is its width times --max-num-batched-tokens. Those that are in use together may take \
         2^42 bytes; opening a plan checks the same.",
        "Lower --max-num-batched-tokens.";
}
