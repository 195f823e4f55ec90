//! Where graphs come from: an empty one, or text.

use melior::ir::{
    Block, BlockLike, Region, RegionLike,
    attribute::{StringAttribute, TypeAttribute},
    r#type::FunctionType,
};

use crate::{Context, Diagnostic, Module, module::FUNCTION, raw, structure};

impl Module {
    /// An empty graph: the inputs and no op. It is complete once [`Module::set_output`] was called.
    pub fn new(context: &Context) -> Module {
        // SAFETY: the module keeps a clone of the context and drops everything else first.
        let mlir = unsafe { raw::forever(&context.0) };
        let unknown = melior::ir::Location::unknown(mlir);
        let inputs = structure::input_types(mlir);
        let region = Region::new();
        region.append_block(Block::new(&inputs.map(|ty| (ty, unknown))));
        let function = melior::dialect::func::func(
            mlir,
            StringAttribute::new(mlir, FUNCTION),
            TypeAttribute::new(FunctionType::new(mlir, &inputs, &[]).into()),
            region,
            &[],
            unknown,
        );
        let module = melior::ir::Module::new(unknown);
        module.body().append_operation(function);
        Module::adopt(context, module)
    }

    /// Reads a graph from text and checks its structure; `file` names the text in diagnostics.
    ///
    /// # Errors
    /// A bad-input [`Diagnostic`] for text that is not MLIR, that the dialect does not allow, or that is
    /// anything but one function `@forward` over the graph's inputs.
    pub fn parse(context: &Context, text: &str, file: &str) -> Result<Module, Diagnostic> {
        // SAFETY: as in `new`.
        let mlir = unsafe { raw::forever(&context.0) };
        structure::check_depth(text).map_err(|d| d.in_file(file))?;
        let (parsed, messages) = raw::with_messages(mlir, || raw::parse(mlir, text, file));
        let op = parsed.ok_or_else(|| structure::refusal(messages).in_file_unless_known(file))?;
        let module = if raw::name(&op) == "builtin.module" {
            melior::ir::Module::from_operation(op).expect("builtin.module is a module")
        } else {
            let module = melior::ir::Module::new(melior::ir::Location::unknown(mlir));
            module.body().append_operation(op);
            module
        };
        structure::check_function(mlir, &module).map_err(|d| d.in_file_unless_known(file))?;
        let module = Module::adopt(context, module);
        match structure::check_ops(&module).into_iter().next() {
            Some(finding) => Err(finding.in_file_unless_known(file)),
            None => Ok(module),
        }
    }
}
