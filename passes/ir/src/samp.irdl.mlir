// The `samp` dialect, loaded at run time. It states structure only: operand and result kinds, and the
// attributes that every phase has. Shapes, dtypes and what each phase adds (format, layout, kernels,
// offsets) are rules in `verify.rs`. A constraint value that is used twice demands two *equal* types or
// attributes, so every operand and attribute has its own.
irdl.dialect @samp {
  // The batch layout (which token belongs to which sequence) and every layer's key/value cache.
  irdl.type @kv {}

  // A tensor of the model by name; its values never enter the graph.
  irdl.operation @weight {
    %value = irdl.base "!builtin.tensor"
    %key = irdl.base "#builtin.string"
    %sources = irdl.base "#builtin.array"
    %transforms = irdl.base "#builtin.array"
    irdl.attributes { "key" = %key, "sources" = %sources, "transforms" = %transforms }
    irdl.results(value: %value)
  }

  // With an attribute `scale`, rows are multiplied by it.
  irdl.operation @embed {
    %tokens = irdl.base "!builtin.tensor"
    %weight = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    irdl.operands(tokens: %tokens, weight: %weight)
    irdl.attributes { "label" = %label }
    irdl.results(y: %y)
  }

  // With an attribute `heads`, each of so many heads of a row is normalised by itself, all with one weight.
  irdl.operation @rms_norm {
    %x = irdl.base "!builtin.tensor"
    %weight = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    %eps = irdl.base "#builtin.float"
    irdl.operands(x: %x, weight: %weight)
    irdl.attributes { "label" = %label, "eps" = %eps }
    irdl.results(y: %y)
  }

  irdl.operation @add_rms_norm {
    %x = irdl.base "!builtin.tensor"
    %residual = irdl.base "!builtin.tensor"
    %weight = irdl.base "!builtin.tensor"
    %sum = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    %eps = irdl.base "#builtin.float"
    irdl.operands(x: %x, residual: %residual, weight: %weight)
    irdl.attributes { "label" = %label, "eps" = %eps }
    irdl.results(sum: %sum, y: %y)
  }

  irdl.operation @linear {
    %x = irdl.base "!builtin.tensor"
    %weight = irdl.base "!builtin.tensor"
    %bias = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    irdl.operands(x: %x, weight: %weight, bias: optional %bias)
    irdl.attributes { "label" = %label }
    irdl.results(y: %y)
  }

  // With an attribute `rotary_dim`, only so many channels of each head, the first ones.
  irdl.operation @rope {
    %x = irdl.base "!builtin.tensor"
    %positions = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    %heads = irdl.base "#builtin.integer"
    %head_dim = irdl.base "#builtin.integer"
    irdl.operands(x: %x, positions: %positions)
    irdl.attributes { "label" = %label, "heads" = %heads, "head_dim" = %head_dim }
    irdl.results(y: %y)
  }

  // Appends keys and values to the cache of its layer, then attends to the cache.
  irdl.operation @attention {
    %q = irdl.base "!builtin.tensor"
    %k = irdl.base "!builtin.tensor"
    %v = irdl.base "!builtin.tensor"
    %kv = irdl.base @samp::@kv
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    %layer = irdl.base "#builtin.integer"
    %heads = irdl.base "#builtin.integer"
    %kv_heads = irdl.base "#builtin.integer"
    %head_dim = irdl.base "#builtin.integer"
    %window = irdl.base "#builtin.integer"
    irdl.operands(q: %q, k: %k, v: %v, kv: %kv)
    irdl.attributes {
      "label" = %label, "layer" = %layer, "heads" = %heads, "kv_heads" = %kv_heads,
      "head_dim" = %head_dim, "window" = %window
    }
    irdl.results(y: %y)
  }

  // Splits `qkv`, turns queries and keys, of each head `rotary_dim` channels where that is said, and appends keys and values
  // to the cache of its layer.
  irdl.operation @rope_append {
    %qkv = irdl.base "!builtin.tensor"
    %positions = irdl.base "!builtin.tensor"
    %kv = irdl.base @samp::@kv
    %q = irdl.base "!builtin.tensor"
    %appended = irdl.base @samp::@kv
    %label = irdl.base "#builtin.string"
    %layer = irdl.base "#builtin.integer"
    %heads = irdl.base "#builtin.integer"
    %kv_heads = irdl.base "#builtin.integer"
    %head_dim = irdl.base "#builtin.integer"
    irdl.operands(qkv: %qkv, positions: %positions, kv: %kv)
    irdl.attributes {
      "label" = %label, "layer" = %layer, "heads" = %heads, "kv_heads" = %kv_heads, "head_dim" = %head_dim
    }
    irdl.results(q: %q, appended: %appended)
  }

  irdl.operation @paged_attention {
    %q = irdl.base "!builtin.tensor"
    %kv = irdl.base @samp::@kv
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    %layer = irdl.base "#builtin.integer"
    %heads = irdl.base "#builtin.integer"
    %kv_heads = irdl.base "#builtin.integer"
    %head_dim = irdl.base "#builtin.integer"
    %window = irdl.base "#builtin.integer"
    irdl.operands(q: %q, kv: %kv)
    irdl.attributes {
      "label" = %label, "layer" = %layer, "heads" = %heads, "kv_heads" = %kv_heads,
      "head_dim" = %head_dim, "window" = %window
    }
    irdl.results(y: %y)
  }

  // Two operands at model phase; later one, gate and up side by side in each row.
  irdl.operation @silu_mul {
    %gate = irdl.base "!builtin.tensor"
    %up = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    irdl.operands(gate: %gate, up: optional %up)
    irdl.attributes { "label" = %label }
    irdl.results(y: %y)
  }

  // Linears over one input that stayed split, their results side by side in each row. Operands of one variadic
  // group would have to be of one type, so there are two or three.
  irdl.operation @concat {
    %first = irdl.base "!builtin.tensor"
    %second = irdl.base "!builtin.tensor"
    %third = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    irdl.operands(first: %first, second: %second, third: optional %third)
    irdl.attributes { "label" = %label }
    irdl.results(y: %y)
  }

  irdl.operation @add {
    %a = irdl.base "!builtin.tensor"
    %b = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    irdl.operands(a: %a, b: %b)
    irdl.attributes { "label" = %label }
    irdl.results(y: %y)
  }

  irdl.operation @gather {
    %x = irdl.base "!builtin.tensor"
    %rows = irdl.base "!builtin.tensor"
    %y = irdl.base "!builtin.tensor"
    %label = irdl.base "#builtin.string"
    irdl.operands(x: %x, rows: %rows)
    irdl.attributes { "label" = %label }
    irdl.results(y: %y)
  }
}
