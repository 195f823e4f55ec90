// verify model
// Text that is not MLIR.
func.func @forward(%tokens: tensor<?xi32>) -> {
