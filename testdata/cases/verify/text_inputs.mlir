// verify model
// Other inputs than a graph has.
func.func @forward(%tokens: tensor<?xi64>) -> tensor<?xi64> {
  return %tokens : tensor<?xi64>
}
