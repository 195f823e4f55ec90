// verify model
// A function of another name.
func.func @main() {
  return
}
